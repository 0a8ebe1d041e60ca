"""Runtimes that compute an ONNX graph, by name, imported when asked for (see registry.pick).

None of them is in Kaggle's image; each is optional. torch, which needs no graph, is always there and stands in no list.
"""

BACKENDS: dict[str, str] = {
    "onnxruntime": "soundpost.inference.backends.onnx_runtime:OnnxRuntime",
    "openvino": "soundpost.inference.backends.openvino_runtime:OpenVino",
}
