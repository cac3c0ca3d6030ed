"""Where Ray Serve begins: the application builder that every configuration names."""

from ray import serve
from ray.serve import Application, Deployment

from serving.details import Json
from serving.render import DEPLOYMENT
from serving.replica import Replica


def build(arguments: Json) -> Application:
    """The application of one version; `arguments` are those of `serving.render.application`."""
    deployment: Deployment = serve.deployment(name=DEPLOYMENT)(Replica)
    return deployment.bind(arguments)
