"""What tests, evaluation and benchmarks share: start a service, ask it, name the machine, write reports."""
