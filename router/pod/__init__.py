"""The process of a router pod.

What does not know the router is the operator's as well: `cluster`, `environment`, `http` and `retry`.
"""
