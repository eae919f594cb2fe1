"""The service on Ray Serve, on one machine or a cluster."""
