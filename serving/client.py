"""The client of Ray Serve's REST API: what runs, what should run, and the port of a replica's own server."""

import http
from types import TracebackType
from typing import Final, Self

import httpx
import orjson
from pydantic import ValidationError

from serving.details import Json, ReplicaTarget, ServeDetails
from serving.discovery import ServerAnswer
from serving.reason import reason_in

_APPLICATIONS: Final = "/api/serve/applications/"
_GET_SECONDS: Final = 5.0
_PUT_SECONDS: Final = 60.0
"""The first PUT starts Ray Serve, which takes seconds on a busy machine."""
_ASK_SECONDS: Final = 1.0


class ServeApiError(Exception):
    """Ray Serve's REST API could not be used; the text says why."""


class ServeUnreachable(ServeApiError):
    """Nobody answered, or not in time."""


class ServeAccessDenied(ServeApiError):
    """The token is missing or wrong."""


class ServeRefused(ServeApiError):
    """The answer was an error."""


class ServeAnswerInvalid(ServeApiError):
    """The answer is not what this release understands."""


class ServeClient:
    """One connection to the dashboard of a Ray head, kept open, and short ones to replicas.

    `url` is the dashboard's (`http://host:8265`), `token` the cluster's bearer token, None for a cluster without.
    Every method but `ask` raises a `ServeApiError`.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        # Neither a proxy nor credentials of the environment have a place between the control plane and Ray.
        self._rest = httpx.AsyncClient(base_url=self._url, headers=_authorization(token), trust_env=False)
        self._replicas = httpx.AsyncClient(
            timeout=_ASK_SECONDS, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.aclose()
        await self._replicas.aclose()

    def authorize(self, token: str | None) -> None:
        """Use another token from here on."""
        self._rest.headers.pop("authorization", None)
        self._rest.headers.update(_authorization(token))

    async def details(self) -> ServeDetails:
        """Everything that runs on Ray Serve."""
        answer = await self._request("GET", None, _GET_SECONDS)
        try:
            return ServeDetails.model_validate_json(answer.content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ServeAnswerInvalid(
                f"Ray Serve at {self._url} gave an answer that is not understood ({where}: {first['msg']}); "
                "Tidegate is made for Ray 2.60"
            ) from error

    async def put(self, config: Json) -> None:
        """Replace the configuration of Ray Serve; starts Ray Serve when it does not run."""
        await self._request("PUT", orjson.dumps(config), _PUT_SECONDS)

    async def ask(self, target: ReplicaTarget) -> ServerAnswer | None:
        """What the replica says of its own server; None when it does not answer: it starts, stops or is gone."""
        try:
            answer = await self._replicas.get(f"http://{target.ip}:{target.port}{target.path}")
            return ServerAnswer.model_validate_json(answer.content) if answer.status_code == 200 else None
        except (httpx.HTTPError, ValidationError):
            return None

    async def _request(self, method: str, content: bytes | None, seconds: float) -> httpx.Response:
        try:
            answer = await self._rest.request(
                method, _APPLICATIONS, content=content, headers={"content-type": "application/json"}, timeout=seconds
            )
        except httpx.TimeoutException as error:
            raise ServeUnreachable(f"Ray at {self._url} did not answer within {seconds:g} seconds") from error
        except httpx.HTTPError as error:
            raise ServeUnreachable(f"Ray at {self._url} cannot be reached: {error}") from error
        if answer.status_code in (401, 403):
            raise ServeAccessDenied(
                f"Ray at {self._url} refused the token ({answer.status_code}): "
                "the operator needs the token that the cluster was started with"
            )
        if answer.status_code != 200:
            text = answer.text.strip() or http.HTTPStatus(answer.status_code).phrase
            text = reason_in(text) if text.startswith("Traceback") else text[:500]
            raise ServeRefused(f"Ray Serve at {self._url} answered {answer.status_code}: {text}")
        return answer


def _authorization(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}
