"""What a query's form costs: uint8 pixels and JPEG files against float32, of one image, to one gateway, in one run.

    python benchmarks/payloads.py [--out TABLE.md]

The model computes next to nothing, so that the form is what is measured. 32 pixels of float32 are 12 KB, 224 pixels of uint8
150 KB, and of float32 600 KB. The JPEG is of a smooth picture at quality 90; the gateway decodes it, and resizes nothing
here.
"""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from load import Load
from PIL import Image
from ratios import Table, arguments, compare
from victims import made_up

from knockguard.gateway_process import gateway

WINDOWS = (1, 16)


def forms(side: int) -> dict[str, np.ndarray]:
    """Return one picture as a client may send it; float32 is what the others are compared with."""
    y, x = np.mgrid[:side, :side] / side
    pixels = np.stack([255 * x, 255 * y, 127 * (1 + np.sin(9 * x * y))], axis=2).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=90)
    encoded = np.empty(1, dtype=object)
    encoded[0] = file.getvalue()
    floats = np.ascontiguousarray(np.moveaxis(pixels[None], 3, 1) / np.float32(255), dtype=np.float32)
    return {"float32": floats, "uint8": pixels[None], "JPEG": encoded}


def main() -> None:
    """Print one row a case: requests a second of the form and of float32, and the form / float32."""
    given = arguments(__doc__).parse_args()
    columns = (
        "model",
        "form",
        "KiB",
        "its float32",
        "at once",
        "form, req/s",
        "float32, req/s",
        "form / float32",
        "by server CPU",
    )
    table = Table("The form of a query, against float32 of the same image", columns, given.out)
    with TemporaryDirectory() as name:
        for side in (32, 224):
            with gateway(made_up(Path(name), side), log=Path(name) / "log") as running:
                loads = {form: Load.of((running.address, running.process.pid), images) for form, images in forms(side).items()}
                for form in ("uint8", "JPEG"):
                    for window in WINDOWS:
                        ways = [loads[f].way(given.seconds, window=window) for f in (form, "float32")]
                        ratio, cpu = compare(*ways, repetitions=given.repetitions)
                        sizes = [f"{loads[f].kib:.1f}" for f in (form, "float32")]
                        table.row(f"next to nothing, {side} px", form, *sizes, window, ratio.rate, ratio.peer, ratio, cpu)
    table.write()


if __name__ == "__main__":
    main()
