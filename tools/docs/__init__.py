"""Build the documentation site, its diagrams and the README's table of headline figures."""
