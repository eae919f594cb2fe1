"""Where the training data comes from: HC18, planes of other devices, folds, examples."""
