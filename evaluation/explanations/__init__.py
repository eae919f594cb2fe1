"""Measure how faithful the saliency maps are."""
