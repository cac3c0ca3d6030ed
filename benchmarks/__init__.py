"""Load and comparisons: the client that never limits, and the runs that the documentation's figures come from."""
