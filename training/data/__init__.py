"""Data sets on disk to training examples."""
