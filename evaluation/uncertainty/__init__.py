"""Fit the uncertainty model, and report how its intervals and limits hold."""
