"""The policies by name. A new one is a file beside this one and a row here."""

from guard.policies.base import Policy
from guard.registry import Registry

POLICIES: Registry[Policy] = Registry(
    "policy",
    Policy,  # type: ignore[type-abstract]  # the base is only compared against
    {
        "observe": "guard.policies.observe:Observe",
        "shuffle": "guard.policies.shuffle:Shuffle",
        "label-only": "guard.policies.label_only:LabelOnly",
        "top-k": "guard.policies.top_k:TopK",
        "rounding": "guard.policies.rounding:Rounding",
        "reverse-sigmoid": "guard.policies.reverse_sigmoid:ReverseSigmoid",
        "adaptive-misinformation": "guard.policies.adaptive_misinformation:AdaptiveMisinformation",
        "mad-argmax": "guard.policies.mad_argmax:MadArgmax",
        "modelguard": "guard.policies.modelguard:ModelGuard",
        "refuse": "guard.policies.refuse:Refuse",
    },
)
