"""Train the network on HC18. Only this package and `model_export` import torch."""
