"""A model in Seldon Core's Python wrapper."""

import os

import joblib


class Iris:
    """What `seldon-core-microservice seldon_server.Iris` serves."""

    def __init__(self) -> None:
        self._model = joblib.load(os.environ["MODEL"])

    def predict(self, rows, _names, **_meta):
        """The labels of some rows."""
        return self._model.predict(rows)
