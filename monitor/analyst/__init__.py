"""The analyst looks at new records and feedback by itself, tells people what it finds, and Prometheus figures."""
