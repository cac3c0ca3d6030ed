"""One machine without Kubernetes: files instead of an API server, the same core."""
