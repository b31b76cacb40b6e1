"""Ask a gateway with Triton's own client: `python examples/query.py 127.0.0.1:8001 MODEL image.png ...`.

Nothing here knows of knockguard: `pip install 'tritonclient[grpc]' pillow`. Input and output are read from the metadata.
"""

import sys

import numpy as np
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput


def main(arguments: list[str]) -> int:
    """Print the top class of each image and its probability."""
    if len(arguments) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    address, model, *names = arguments
    with InferenceServerClient(address) as client:
        metadata = client.get_model_metadata(model)
        entry = metadata.inputs[0]
        _, *shape = entry.shape
        channels_first = shape[0] in (1, 3)
        height, width = shape[1:] if channels_first else shape[:2]
        rows = np.stack([np.asarray(Image.open(name).convert("RGB").resize((width, height))) for name in names])
        images = np.ascontiguousarray(rows.transpose(0, 3, 1, 2) if channels_first else rows)
        query = InferInput(entry.name, list(images.shape), "UINT8")
        query.set_data_from_numpy(images)
        answer = client.infer(model, [query]).as_numpy(metadata.outputs[0].name)
    for name, row in zip(names, answer, strict=True):
        print(f"{name}: class {int(row.argmax())} {row.max():.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
