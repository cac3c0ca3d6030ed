"""The operator: reads rollouts, decides, and tells Ray Serve and the router what to do."""
