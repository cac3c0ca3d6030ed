"""Where Ray Serve begins: the application builder that every configuration names."""

from ray import serve
from ray.serve import Application

from serving.details import Json
from serving.render import DEPLOYMENT
from serving.replica import Replica


def build(arguments: Json) -> Application:
    """The application of one version; `arguments` are those of `serving.render.application`."""
    deployment = serve.deployment(Replica, name=DEPLOYMENT)
    return deployment.bind(arguments)
