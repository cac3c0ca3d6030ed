"""Why a model is served as it is."""


class NotConvertible(Exception):
    """The model has no equal in ONNX, or no converter knows it. The text says why."""
