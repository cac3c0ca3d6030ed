"""Components as they are written for Seldon Core v1."""

from copy import deepcopy

from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.user_model import SeldonComponent, SeldonResponse


class Doubler:
    """A plain class, as Seldon's examples have them."""

    def __init__(self, factor=2, model_uri=None):
        self.factor = factor
        self.model_uri = model_uri

    def load(self):
        self.loaded = True

    def predict(self, features, names, meta=None):
        assert self.loaded
        self.got = {"names": list(names), "meta": deepcopy(meta), "type": type(features).__name__}
        return features * self.factor

    def class_names(self):
        return ["left", "right"]

    def tags(self):
        return {**self.got, "uri": self.model_uri}

    def metrics(self):
        return [{"type": "COUNTER", "key": "calls", "value": 1}]


class Taker(SeldonComponent):
    """Takes and gives whatever a message can hold."""

    def predict(self, features, names):
        if isinstance(features, dict):
            return {"got": features}
        if isinstance(features, (str, bytes)):
            return features[::-1]
        return SeldonResponse([len(features)], tags={"first": names[:1]})


class Raw(SeldonComponent):
    def predict_raw(self, msg):
        if msg["data"]["ndarray"] == [[0]]:
            return {"status": {"code": 422, "info": "zero is no flower", "status": "FAILURE"}}
        if msg["data"]["ndarray"] == [[1]]:
            return {"jsonData": {"kind": "rose"}}
        return {"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}, "meta": {}}


class Refuser:
    def predict(self, features, names, meta=None):
        if features.size > 1:
            return [[1], [2, 3]]
        if features[0] == "fault":
            raise ZeroDivisionError("no flower")
        raise SeldonMicroserviceException("no such flower", status_code=404)


class Broken:
    def load(self):
        raise OSError("no weights")

    def predict(self, features, names):
        return features


class Stranger:
    """Made for nobody."""
