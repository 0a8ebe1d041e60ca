"""Members of torch as ONNX graphs, checked against the networks that they were made from. Never bundled."""
