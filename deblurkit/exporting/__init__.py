"""Networks in the formats in which they leave deblurkit: safetensors, ONNX, and PyTorch's own exported programs."""
