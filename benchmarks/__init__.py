"""Measure the speed and reliability of the service; results are JSON with the machine's facts."""
