"""Whether CUDA can be used here, and if not, why: ONNX Runtime itself falls back to the CPU without a word."""

import ctypes
import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

from guard.quiet_runtime import ort

PROVIDER = "CUDAExecutionProvider"


def why_not_cuda() -> str | None:
    """Return None if a device is there and CUDA's libraries load, else a sentence that says what is missing.

    The libraries are looked for where pip puts them, too; without that, ONNX Runtime overlooks them unless torch was imported.
    """
    if PROVIDER not in ort.get_available_providers():
        return "this ONNX Runtime was built without CUDA; install onnxruntime-gpu"
    # The device comes first: where there is none, loading a gigabyte of libraries would be for nothing.
    if reason := _no_device():
        return reason
    with redirect_stdout(io.StringIO()) as said:
        ort.preload_dlls()
    if reason := _unloadable():
        hint = said.getvalue().strip().partition("\n")[0]
        return f"{reason}; install the CUDA and cuDNN that onnxruntime-gpu asks for{f' ({hint})' if hint else ''}"
    return None


def _no_device() -> str | None:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return f"no NVIDIA driver is installed here ({name} does not load)"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver finds no device it can use; look at nvidia-smi"
    return None


def _unloadable() -> str | None:
    """Try to load what ONNX Runtime will load, to hear which library is missing; on Linux alone."""
    folder = Path(ort.__file__).parent / "capi"
    provider = folder / "libonnxruntime_providers_cuda.so"
    if sys.platform != "linux" or not provider.exists():
        return None
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(provider))
    except OSError as error:
        return f"CUDA's libraries do not load: {error}"
    return None
