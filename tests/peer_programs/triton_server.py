"""Triton with a model that Python computes: `python triton_server.py MODEL.onnx HTTP_PORT GRPC_PORT`. Needs nvidia-pytriton.

That package brings Triton without its ONNX backend, so ONNX Runtime computes behind its Python backend.
"""

import sys

import numpy as np
import onnxruntime as ort
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

session = ort.InferenceSession(sys.argv[1])


@batch
def infer(image):
    names = [end.name for end in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": image}), strict=True))


def tensors(ends):
    return [Tensor(name=end.name, dtype=np.float32, shape=tuple(end.shape[1:])) for end in ends]


if __name__ == "__main__":
    ports = {"http_port": int(sys.argv[2]), "grpc_port": int(sys.argv[3])}
    config = TritonConfig(http_address="127.0.0.1", grpc_address="127.0.0.1", allow_metrics=False, **ports)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="tiny",
            infer_func=infer,
            inputs=tensors(session.get_inputs()),
            outputs=tensors(session.get_outputs()),
            config=ModelConfig(max_batch_size=32),
        )
        triton.serve()
