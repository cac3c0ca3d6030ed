"""The request protocols: each turns a body into rows for the model, and the model's outputs into an answer."""
