"""Pictures to analyses and explanations: what runs the pipeline for requests."""
