"""Fit the uncertainty model, and measure its intervals and limits."""
