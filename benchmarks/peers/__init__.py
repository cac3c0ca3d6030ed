"""Other model servers beside Tidegate: each in its own virtual environment; same model file, client and request."""
