"""What runs inside Ray: one model version per Serve application, each replica answering on a port of its own."""
