"""Compare architectures: rows per image, paired statistics, figures (`docs/comparison.md`)."""
