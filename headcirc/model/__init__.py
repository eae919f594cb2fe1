"""What a model is: its manifest, its graphs, and the model that ships."""
