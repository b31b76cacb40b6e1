from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("release", "ready", "started_at", "process", "bundles", "tenants", "rows", "flagged", "audit_written_rows", "audit_dropped_rows", "workers", "worker_restarts", "dependencies", "drifts", "unguarded_rows")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    FLAGGED_FIELD_NUMBER: _ClassVar[int]
    AUDIT_WRITTEN_ROWS_FIELD_NUMBER: _ClassVar[int]
    AUDIT_DROPPED_ROWS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    WORKER_RESTARTS_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    DRIFTS_FIELD_NUMBER: _ClassVar[int]
    UNGUARDED_ROWS_FIELD_NUMBER: _ClassVar[int]
    release: str
    ready: bool
    started_at: float
    process: int
    bundles: int
    tenants: int
    rows: int
    flagged: int
    audit_written_rows: int
    audit_dropped_rows: int
    workers: int
    worker_restarts: int
    dependencies: _containers.RepeatedCompositeFieldContainer[Dependency]
    drifts: _containers.RepeatedCompositeFieldContainer[Drift]
    unguarded_rows: int
    def __init__(self, release: _Optional[str] = ..., ready: bool = ..., started_at: _Optional[float] = ..., process: _Optional[int] = ..., bundles: _Optional[int] = ..., tenants: _Optional[int] = ..., rows: _Optional[int] = ..., flagged: _Optional[int] = ..., audit_written_rows: _Optional[int] = ..., audit_dropped_rows: _Optional[int] = ..., workers: _Optional[int] = ..., worker_restarts: _Optional[int] = ..., dependencies: _Optional[_Iterable[_Union[Dependency, _Mapping]]] = ..., drifts: _Optional[_Iterable[_Union[Drift, _Mapping]]] = ..., unguarded_rows: _Optional[int] = ...) -> None: ...

class Dependency(_message.Message):
    __slots__ = ("name", "model", "version", "mode", "state", "openings", "faults")
    class FaultsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPENINGS_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    version: str
    mode: str
    state: str
    openings: int
    faults: _containers.ScalarMap[str, int]
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., mode: _Optional[str] = ..., state: _Optional[str] = ..., openings: _Optional[int] = ..., faults: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Drift(_message.Message):
    __slots__ = ("model", "version", "detector", "rows", "psi", "psi_noise", "gap", "critical_gap", "moved")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    PSI_FIELD_NUMBER: _ClassVar[int]
    PSI_NOISE_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_GAP_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    detector: str
    rows: int
    psi: float
    psi_noise: float
    gap: float
    critical_gap: float
    moved: bool
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., detector: _Optional[str] = ..., rows: _Optional[int] = ..., psi: _Optional[float] = ..., psi_noise: _Optional[float] = ..., gap: _Optional[float] = ..., critical_gap: _Optional[float] = ..., moved: bool = ...) -> None: ...

class Bundle(_message.Message):
    __slots__ = ("model", "version", "bundle", "source", "provider", "loaded_at", "detector", "threshold", "target_fpr", "policy", "apply_to")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    LOADED_AT_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    TARGET_FPR_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    APPLY_TO_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    bundle: str
    source: str
    provider: str
    loaded_at: float
    detector: str
    threshold: float
    target_fpr: float
    policy: str
    apply_to: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., bundle: _Optional[str] = ..., source: _Optional[str] = ..., provider: _Optional[str] = ..., loaded_at: _Optional[float] = ..., detector: _Optional[str] = ..., threshold: _Optional[float] = ..., target_fpr: _Optional[float] = ..., policy: _Optional[str] = ..., apply_to: _Optional[str] = ...) -> None: ...

class ListBundlesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListBundlesResponse(_message.Message):
    __slots__ = ("bundles",)
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    bundles: _containers.RepeatedCompositeFieldContainer[Bundle]
    def __init__(self, bundles: _Optional[_Iterable[_Union[Bundle, _Mapping]]] = ...) -> None: ...

class SetPolicyRequest(_message.Message):
    __slots__ = ("model", "policy", "options", "apply_to")
    class OptionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    APPLY_TO_FIELD_NUMBER: _ClassVar[int]
    model: str
    policy: str
    options: _containers.ScalarMap[str, str]
    apply_to: str
    def __init__(self, model: _Optional[str] = ..., policy: _Optional[str] = ..., options: _Optional[_Mapping[str, str]] = ..., apply_to: _Optional[str] = ...) -> None: ...

class SetPolicyResponse(_message.Message):
    __slots__ = ("bundles",)
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    bundles: _containers.RepeatedCompositeFieldContainer[Bundle]
    def __init__(self, bundles: _Optional[_Iterable[_Union[Bundle, _Mapping]]] = ...) -> None: ...

class ReloadRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ReloadResponse(_message.Message):
    __slots__ = ("outcomes",)
    class Outcome(_message.Message):
        __slots__ = ("model", "version", "outcome", "reason")
        MODEL_FIELD_NUMBER: _ClassVar[int]
        VERSION_FIELD_NUMBER: _ClassVar[int]
        OUTCOME_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        model: str
        version: str
        outcome: str
        reason: str
        def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[ReloadResponse.Outcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[ReloadResponse.Outcome, _Mapping]]] = ...) -> None: ...

class EvidenceRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class EvidenceResponse(_message.Message):
    __slots__ = ("items",)
    class Item(_message.Message):
        __slots__ = ("tenant", "model", "version", "bundle", "detector", "threshold", "target_fpr", "rows", "flagged", "since", "last", "recent_rows", "recent_flagged", "recent_quantiles")
        TENANT_FIELD_NUMBER: _ClassVar[int]
        MODEL_FIELD_NUMBER: _ClassVar[int]
        VERSION_FIELD_NUMBER: _ClassVar[int]
        BUNDLE_FIELD_NUMBER: _ClassVar[int]
        DETECTOR_FIELD_NUMBER: _ClassVar[int]
        THRESHOLD_FIELD_NUMBER: _ClassVar[int]
        TARGET_FPR_FIELD_NUMBER: _ClassVar[int]
        ROWS_FIELD_NUMBER: _ClassVar[int]
        FLAGGED_FIELD_NUMBER: _ClassVar[int]
        SINCE_FIELD_NUMBER: _ClassVar[int]
        LAST_FIELD_NUMBER: _ClassVar[int]
        RECENT_ROWS_FIELD_NUMBER: _ClassVar[int]
        RECENT_FLAGGED_FIELD_NUMBER: _ClassVar[int]
        RECENT_QUANTILES_FIELD_NUMBER: _ClassVar[int]
        tenant: str
        model: str
        version: str
        bundle: str
        detector: str
        threshold: float
        target_fpr: float
        rows: int
        flagged: int
        since: float
        last: float
        recent_rows: int
        recent_flagged: int
        recent_quantiles: _containers.RepeatedScalarFieldContainer[float]
        def __init__(self, tenant: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., bundle: _Optional[str] = ..., detector: _Optional[str] = ..., threshold: _Optional[float] = ..., target_fpr: _Optional[float] = ..., rows: _Optional[int] = ..., flagged: _Optional[int] = ..., since: _Optional[float] = ..., last: _Optional[float] = ..., recent_rows: _Optional[int] = ..., recent_flagged: _Optional[int] = ..., recent_quantiles: _Optional[_Iterable[float]] = ...) -> None: ...
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[EvidenceResponse.Item]
    def __init__(self, items: _Optional[_Iterable[_Union[EvidenceResponse.Item, _Mapping]]] = ...) -> None: ...

class ResetRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class ResetResponse(_message.Message):
    __slots__ = ("forgotten",)
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    forgotten: int
    def __init__(self, forgotten: _Optional[int] = ...) -> None: ...

class LimitsRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class LimitsResponse(_message.Message):
    __slots__ = ("items", "store", "shared", "left_out")
    class Item(_message.Message):
        __slots__ = ("tenant", "rows_per_s", "burst_rows", "bucket_rows", "quota_rows", "used_rows", "window_end")
        TENANT_FIELD_NUMBER: _ClassVar[int]
        ROWS_PER_S_FIELD_NUMBER: _ClassVar[int]
        BURST_ROWS_FIELD_NUMBER: _ClassVar[int]
        BUCKET_ROWS_FIELD_NUMBER: _ClassVar[int]
        QUOTA_ROWS_FIELD_NUMBER: _ClassVar[int]
        USED_ROWS_FIELD_NUMBER: _ClassVar[int]
        WINDOW_END_FIELD_NUMBER: _ClassVar[int]
        tenant: str
        rows_per_s: float
        burst_rows: int
        bucket_rows: float
        quota_rows: int
        used_rows: int
        window_end: float
        def __init__(self, tenant: _Optional[str] = ..., rows_per_s: _Optional[float] = ..., burst_rows: _Optional[int] = ..., bucket_rows: _Optional[float] = ..., quota_rows: _Optional[int] = ..., used_rows: _Optional[int] = ..., window_end: _Optional[float] = ...) -> None: ...
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[LimitsResponse.Item]
    store: str
    shared: bool
    left_out: int
    def __init__(self, items: _Optional[_Iterable[_Union[LimitsResponse.Item, _Mapping]]] = ..., store: _Optional[str] = ..., shared: bool = ..., left_out: _Optional[int] = ...) -> None: ...

class ResetLimitsRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class ResetLimitsResponse(_message.Message):
    __slots__ = ("forgotten",)
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    forgotten: bool
    def __init__(self, forgotten: bool = ...) -> None: ...
