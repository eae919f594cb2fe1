"""Assess a result: uncertainty, interval, warnings and test-time augmentation."""
