"""Bytes of an image file to a frame: one upright picture of 8-bit grey values."""
