"""Judge the model: accuracy, uncertainty, comparisons, and what its explanations are worth."""
