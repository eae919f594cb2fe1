"""Shared code of the tests, evaluations and benchmarks: running a service, reports, targets."""
