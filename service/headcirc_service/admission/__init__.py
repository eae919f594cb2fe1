"""Admission control: keys, uploads, queue, batches and the threads that do the work."""
