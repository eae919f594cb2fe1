"""Alter training examples as ultrasound machines and fetuses do."""
