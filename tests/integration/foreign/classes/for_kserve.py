"""Classes as they are written for KServe."""

import asyncio

import kserve
import numpy as np
from fastapi import HTTPException
from kserve.errors import InvalidInput
from kserve.utils.utils import get_predict_input, get_predict_response


class Doubler(kserve.Model):
    """As in KServe's own examples: one code for both protocols."""

    def __init__(self, name: str, model_dir: str):
        super().__init__(name)
        self.model_dir = model_dir
        self.load()

    def load(self):
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None):
        return get_predict_response(payload, get_predict_input(payload) * 2, self.name)


class Witness(kserve.Model):
    """Tells what reaches it, in coroutines that need the loop of the first of them."""

    def __init__(self, name: str):
        super().__init__(name)
        self.lock = None

    async def load(self):
        self.lock = asyncio.Lock()
        self.ticked = asyncio.Event()
        self.ticking = asyncio.create_task(self.tick())
        self.ready = True

    async def tick(self):
        while True:
            await asyncio.sleep(0.01)
            self.ticked.set()

    async def preprocess(self, payload, headers=None):
        async with self.lock:
            return {"got": payload, "headers": headers}

    async def predict(self, payload, headers=None):
        self.ticked.clear()
        await self.ticked.wait()
        return payload

    def postprocess(self, result, headers=None):
        got = result["got"]
        if isinstance(got, dict):
            return {"predictions": [0], "name": self.name, **result}
        numpy = {one.name: one.as_numpy() for one in got.inputs}
        told = {"inputs": [one.to_dict() for one in got.inputs], "sums": {name: len(it) for name, it in numpy.items()}}
        wanted = [one.name for one in got.request_outputs or ()]
        told |= {"parameters": got.parameters, "wanted": wanted, "user": result["headers"].get("x-user")}
        outputs = [kserve.InferOutput("y", [1], "INT8", [7], {"own": True}), kserve.InferOutput("z", [0], "FP64", [])]
        return kserve.InferResponse(got.id, self.name, outputs, parameters=told)


class Always(kserve.Model):
    """Answers as it likes, whatever the protocol."""

    def __init__(self, name="usual"):
        super().__init__(name)

    def predict(self, payload, headers=None):
        kind = payload["instances"][0] if isinstance(payload, dict) else payload.inputs[0].data[0]
        if kind == "response":
            output = kserve.InferOutput("y", [2], "FP32")
            output.set_data_from_numpy(np.ones(2, np.float32), binary_data=True)
            return kserve.InferResponse("9", self.name, [output])
        if kind == "rest":
            output = {"name": "y", "shape": [1], "datatype": "INT8", "data": [7]}
            return {"model_name": self.name, "outputs": [output]}
        return {"predictions": [1, 2]} if kind == "dict" else {"other": [1, 2]}


class Refuser(kserve.Model):
    def __init__(self):
        super().__init__("its own name")
        self.ready = True

    def predict(self, payload, headers=None):
        kind = payload["instances"][0]
        if kind == "exit":
            raise SystemExit(3)
        if kind == "set":
            return {"predictions": {1, 2}}
        if kind == "list":
            return [1, 2]
        raise {
            "input": InvalidInput("no such flower"),
            "ready": kserve.errors.ModelNotReady("iris"),
            "http": HTTPException(429, "too many flowers"),
            "fault": ZeroDivisionError("no flower"),
        }[kind]


class NeverReady(kserve.Model):
    def __init__(self, name):
        super().__init__(name)

    def load(self):
        return False


class Choosy(kserve.Model):
    def __init__(self, name, temperature):
        super().__init__(name)


class Broken(kserve.Model):
    def __init__(self, name):
        super().__init__(name)

    def load(self):
        raise OSError("no weights")


class Stranger:
    """Made for nobody."""
