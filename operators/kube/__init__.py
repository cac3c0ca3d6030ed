"""The operator on Kubernetes: the controller's four ports over the API server and the router pods."""
