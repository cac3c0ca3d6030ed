"""How does the candidate compare? Statistics and records that rollouts decide on."""
