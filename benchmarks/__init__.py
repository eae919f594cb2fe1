"""Measure the served model: accuracy, latency, throughput; results as JSON with their machine."""
