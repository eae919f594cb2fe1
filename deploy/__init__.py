"""How the service is deployed, and what proves it without a container engine."""
