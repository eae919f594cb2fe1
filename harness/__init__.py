"""What tests, evaluation and benchmarks share: a running service, the machine, reports."""
