"""What `ray start` calls before it starts anything (`RAY_START_HOOK`)."""

from typing import Any


def without_client_server(params: Any, head: bool) -> None:  # noqa: ARG001 - Ray calls it so
    """Leave out the server for remote drivers: a process and an open port that no option of `ray start` turns off."""
    params.ray_client_server_port = None
