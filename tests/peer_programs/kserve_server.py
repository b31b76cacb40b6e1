"""A KServe server of one ONNX model: `kserve_server.py MODEL.onnx HTTP_PORT GRPC_PORT`.."""

import sys

import onnxruntime as ort
from kserve import InferOutput, InferResponse, Model, ModelServer


class Onnx(Model):
    def load(self):
        self.session = ort.InferenceSession(sys.argv[1])
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        (item,) = payload.inputs
        outputs = []
        for end, values in zip(self.session.get_outputs(), self.session.run(None, {item.name: item.as_numpy()}), strict=True):
            output = InferOutput(end.name, list(values.shape), "FP32")
            output.set_data_from_numpy(values, binary_data=True)
            outputs.append(output)
        return InferResponse(payload.id, self.name, outputs)


if __name__ == "__main__":
    model = Onnx("tiny")
    model.load()
    ModelServer(http_port=int(sys.argv[2]), grpc_port=int(sys.argv[3]), workers=1, enable_docs_url=False).start([model])
