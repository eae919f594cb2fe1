"""Augment training examples with variations that occur in ultrasound images."""
