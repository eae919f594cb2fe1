"""Export a checkpoint: ONNX graphs, parity with torch, and the manifest of the model."""
