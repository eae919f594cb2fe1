"""Describe a model: its manifest, its graphs, and the model that ships with the package."""
