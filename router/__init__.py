"""The router: Envoy, and the Python beside it that tells Envoy which version of a model gets which request."""
