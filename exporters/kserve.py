"""A bundle for KServe: an InferenceService, the network policy that closes it, and the repository that it reads.

KServe's Triton runtime serves it over gRPC, inside the cluster alone; the policy lets in the gateway's pods and nobody else.
"""

import json
import re
from pathlib import Path

from exporters.repository import WARNING, served_model, write_model
from exporters.triton import CONFIG, MAX_BATCH_ROWS, MODEL, triton_config
from guard.bundle import Bundle, Manifest
from guard.errors import ExportError

SERVICE = "inferenceservice.yaml"
REPOSITORY = "repository"
GRPC_PORT = 9000  # of KServe's Triton runtime
_MAX_NAME = 53  # a host name's label has 63, and KServe appends "-predictor"


def write_kserve(  # noqa: PLR0913  # each further one has a default
    folder: Path,
    bundle: Bundle,
    *,
    storage_uri: str,
    expose_scores: bool = False,
    max_batch_rows: int = MAX_BATCH_ROWS,
    force: bool = False,
) -> Path:
    """Write `folder` whole or not at all, and return it; ExportError if it exists and `force` was not given.

    `folder/repository/` is to be copied to `storage_uri` (pvc://, s3://, gs:// ...), from where KServe fetches it; then
    `kubectl apply -f inferenceservice.yaml`. Only the probabilities are declared, unless `expose_scores`; see `exporters.triton`.
    """
    manifest = bundle.manifest
    model = f"{REPOSITORY}/{manifest.name}"
    files = {
        SERVICE: inference_service(manifest, storage_uri=storage_uri).encode(),
        f"{model}/{CONFIG}": triton_config(manifest, expose_scores=expose_scores, max_batch_rows=max_batch_rows).encode(),
        f"{model}/{manifest.version}/{MODEL}": served_model(bundle, expose_scores=expose_scores),
    }
    write_model(folder, files, marker=SERVICE, force=force)
    return folder


def inference_service(manifest: Manifest, *, storage_uri: str) -> str:
    """Return the YAML of the InferenceService and its network policy; ExportError if the URI or the name cannot be one."""
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://\S+", storage_uri):
        raise ExportError(f"storage_uri {storage_uri!r} is not of the form SCHEME://PATH; give such as pvc://models/birds")
    return _TEMPLATE.format(
        warning=WARNING, name=kubernetes_name(manifest.name), storage_uri=json.dumps(storage_uri), port=GRPC_PORT
    )


def kubernetes_name(name: str) -> str:
    """Return a name as Kubernetes takes it: small letters, digits, hyphens, a letter first; ExportError if nothing is left."""
    found = re.sub(r"[^a-z0-9]+", "-", name.lower())
    found = re.sub(r"^[^a-z]+", "", found)[:_MAX_NAME].rstrip("-")
    if not found:
        raise ExportError(f"the model's name {name!r} has no letter, so Kubernetes cannot take it; protect it anew with --name")
    return found


# Standard deployments put no proxy of Knative's in front of the pods, so the policy sees who asks.
_TEMPLATE = """\
# {warning}
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {name}
  labels:
    networking.kserve.io/visibility: cluster-local
  annotations:
    serving.kserve.io/deploymentMode: RawDeployment
spec:
  predictor:
    model:
      modelFormat:
        name: triton
      protocolVersion: grpc-v2
      storageUri: {storage_uri}
      ports:
        - name: h2c
          containerPort: {port}
          protocol: TCP
---
# The gateway's pods, in this namespace, and nobody else.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {name}-only-the-gateway
spec:
  podSelector:
    matchLabels:
      serving.kserve.io/inferenceservice: {name}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: knockguard
      ports:
        - port: {port}
          protocol: TCP
"""
