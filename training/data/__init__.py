"""Read the data sets and turn them into training examples."""
