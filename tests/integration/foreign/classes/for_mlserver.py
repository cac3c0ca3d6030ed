"""Classes as they are written for MLServer."""

import mlserver
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceResponse, Parameters


class Doubler(MLModel):
    """Everything as settings and content types say."""

    async def load(self):
        mlserver.register("rows", "how many rows came")
        self.factor = self.settings.parameters.extra.get("factor", 2)
        return True

    async def predict(self, payload):
        rows = self.decode_request(payload, default_codec=NumpyRequestCodec)
        mlserver.log(rows=len(rows))
        return self.encode_response(rows * self.factor, default_codec=NumpyRequestCodec)


class Witness(MLModel):
    """Tells what reaches it."""

    async def load(self):
        return True

    async def predict(self, payload):
        told = payload.model_dump(mode="json")
        uri = self.settings.parameters.uri
        parameters = Parameters(told=told, name=self.name, uri=uri, headers={"x-model": "1"})
        return InferenceResponse(
            model_name=self.name,
            parameters=parameters,
            outputs=[NumpyCodec.encode_output("n", self.decode(payload.inputs[0], default_codec=NumpyCodec))],
        )


class Reader(MLModel):
    """Text, bytes and data frames."""

    async def load(self):
        return True

    async def predict(self, payload):
        outputs = []
        if payload.parameters.content_type == "pd":
            frame = self.decode_request(payload, default_codec=PandasCodec)
            return PandasCodec.encode_response(self.name, frame.assign(sum=frame.sum(axis=1)))
        for one in payload.inputs:
            values = self.decode(one, default_codec=StringCodec)
            codec = Base64Codec if isinstance(values[0], bytes) else StringCodec
            outputs.append(codec.encode_output(one.name, [value[::-1] for value in values]))
        return InferenceResponse(model_name=self.name, outputs=outputs)


class Refuser(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        if payload.inputs[0].name == "fault":
            raise ZeroDivisionError("no flower")
        if payload.inputs[0].name == "text":
            return "no flower"
        raise InferenceError("no such flower")


class NeverReady(MLModel):
    async def load(self):
        return False


class Broken(MLModel):
    async def load(self):
        raise OSError("no weights")


class Stranger:
    """Made for nobody."""
