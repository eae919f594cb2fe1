"""How far an answer can be trusted: uncertainty, interval, warnings, test-time augmentation."""
