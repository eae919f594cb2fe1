"""Kept results: their names, their form, and the store in memory or in Redis."""
