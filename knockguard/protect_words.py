"""Words of `knockguard protect` that say more than one thing: shapes, tensors, options of detectors."""

from guard.errors import ConfigError


def input_shape(text: str | None) -> tuple[int, int, int] | None:
    """Return three whole numbers of "32,32,3", or None."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(
            f"--input-shape {text!r} is not three whole numbers; write 32,32,3 or 3,32,32, as images were flattened"
        )
    a, b, c = (int(part) for part in parts)
    return a, b, c


def overrides(stages: tuple[str, ...]) -> dict[str, str] | None:
    """Return tensors by tap from words such as stage1=relu_4, or None."""
    pairs = [stage.partition("=") for stage in stages]
    if bad := [name for name, equals, tensor in pairs if not (name and equals and tensor)]:
        raise ConfigError(f"--stage {bad[0]!r} is not of the form NAME=TENSOR, such as stage1=/layer1/Relu_output_0")
    return {name: tensor for name, _, tensor in pairs} or None


def settings(words: tuple[str, ...]) -> dict[str, dict[str, object]]:
    """Return options by detector from words such as linear-late.strength=0.01; `Plan` looks at what they say."""
    found: dict[str, dict[str, object]] = {}
    for word in words:
        place, equals, value = word.partition("=")
        detector, dot, key = place.partition(".")
        if not (detector and dot and key and equals and value):
            raise ConfigError(f"--set {word!r} is not of the form DETECTOR.OPTION=VALUE, such as linear-late.strength=0.01")
        found.setdefault(detector, {})[key] = value
    return found
