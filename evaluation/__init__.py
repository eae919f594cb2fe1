"""Measure the model's accuracy, its uncertainty, and how faithful its explanations are."""
