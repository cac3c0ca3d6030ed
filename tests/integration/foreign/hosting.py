"""Serves classes that were made for other servers, by Tidegate's own server, in an environment that has their package.

The argument is a JSON object: `runtime`, `cache`, `folder` and `models`, which have by their names `class`, `inputs`
and `env`. A line of JSON says the port of each model, or why it was not loaded. The end of the input ends it all.
"""

import json
import os
import sys
from pathlib import Path

from serving.errors import ModelLoadError
from serving.runtimes import load
from serving.server import ModelServer, ServerConfig
from serving.spec import InputSpec, ModelSource


def serve(order, asked):
    """Serve one model; its port, or why there is none."""
    inputs = tuple(InputSpec(*entry) for entry in asked.get("inputs", ()))
    source = ModelSource(Path(order["folder"]).as_uri(), order["runtime"], None, inputs, asked["class"])
    before = dict(os.environ)
    os.environ.update(asked.get("env", {}))
    try:
        model = load(source, Path(order["cache"]), "iris")
    except ModelLoadError as error:
        return {"error": type(error).__name__, "message": str(error)}
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {"port": ModelServer(ServerConfig("iris", "v1"), model).start()}


def main():
    """Serve until nobody wants it any more."""
    order = json.loads(sys.argv[1])
    os.environ["TIDEGATE_ARTIFACT_CODE"] = "always"
    print(json.dumps({name: serve(order, asked) for name, asked in order["models"].items()}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
