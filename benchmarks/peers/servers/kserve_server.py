"""A model in KServe's ModelServer, written as KServe's own scikit-learn server is."""

import argparse
import asyncio
import os

import joblib
import kserve
import uvloop
from kserve.utils.utils import get_predict_input, get_predict_response


class Iris(kserve.Model):
    """`predict` without a coroutine is called on the event loop, with no thread between."""

    def __init__(self) -> None:
        super().__init__("iris")
        self._model = joblib.load(os.environ["MODEL"])
        self.ready = True

    def predict(self, payload, _headers=None):
        """Answer one request."""
        return get_predict_response(payload, self._model.predict(get_predict_input(payload)), self.name)


if __name__ == "__main__":
    options = argparse.ArgumentParser(parents=[kserve.model_server.parser]).parse_args()
    if options.configure_logging:
        kserve.logging.configure_logging(options.log_config_file)
    # ModelServer asks for the current loop, then runs another by `asyncio.run`: its option --event-loop has no effect.
    uvloop.install()
    asyncio.set_event_loop(asyncio.new_event_loop())
    kserve.ModelServer().start([Iris()])
