"""The API server that a pod belongs to."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config


class NoCluster(ConnectionError):
    """There is no API server to talk to; the message says what is missing."""


async def configuration(kubeconfig: str | None = None) -> Configuration:
    """How to reach the API server: as this file says, else the pod's service account, else the file in KUBECONFIG.

    Raises `NoCluster`.
    """
    found = Configuration()
    # Neither a proxy nor credentials of the environment have a place between a pod and its API server.
    found.client_session_kwargs = {"trust_env": False}
    inside = "not asked for"
    if kubeconfig is None:
        try:
            load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
        except ConfigException as error:
            inside = str(error)
        else:
            return found
    try:
        named = kubeconfig or os.environ.get("KUBECONFIG")
        await load_kube_config(named, client_configuration=found)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError) as outside:
        raise NoCluster(
            f"there is neither a service account ({inside}) nor a kubeconfig ({outside}): "
            "run this in a pod, or let KUBECONFIG name the file of a cluster"
        ) from outside
    return found


@asynccontextmanager
async def connected(kubeconfig: str | None = None) -> AsyncIterator[ApiClient]:
    """A client of the API server that `configuration` finds. Raises `NoCluster`."""
    found = await configuration(kubeconfig)
    try:
        client = ApiClient(found)
    except (OSError, ValueError) as error:
        raise NoCluster(f"the address or certificates of {found.host} cannot be used: {error}") from error
    async with client:
        yield client
