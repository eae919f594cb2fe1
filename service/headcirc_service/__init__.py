"""The HTTP service around `headcirc`: routes, limits, a store for results, metrics."""
