"""Checkpoint to what ships: ONNX, parity with torch, and the manifest that describes both."""
