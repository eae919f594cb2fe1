"""Compare the model with measurements of one's own, and recalibrate it for a site."""
