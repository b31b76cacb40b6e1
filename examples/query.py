"""Ask a gateway with Triton's own client: `python examples/query.py 127.0.0.1:8001 MODEL image.png ...`.

Nothing here knows of knockguard: `pip install 'tritonclient[grpc]'`. Files are sent as they are; input and output are read from
the metadata.
"""

import sys
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput


def main(arguments: list[str]) -> int:
    """Print the top class of each image and its probability."""
    if len(arguments) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    address, model, *names = arguments
    with InferenceServerClient(address) as client:
        metadata = client.get_model_metadata(model)
        images = np.array([Path(name).read_bytes() for name in names], dtype=object)
        query = InferInput(metadata.inputs[0].name, [len(images)], "BYTES")
        query.set_data_from_numpy(images)
        answer = client.infer(model, [query]).as_numpy(metadata.outputs[0].name)
    for name, row in zip(names, answer, strict=True):
        print(f"{name}: class {int(row.argmax())} {row.max():.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
