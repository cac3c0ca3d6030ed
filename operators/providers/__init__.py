"""Those who keep figures that checks may be held against: Prometheus, and JSON documents on the web."""
