"""From routes to Envoy's resources: pure functions, and the only part that builds Envoy's messages."""
