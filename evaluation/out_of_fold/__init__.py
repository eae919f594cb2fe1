"""Measure each image with a network that never saw its exam, patient or country."""
