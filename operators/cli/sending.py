"""Feedback on its way to the router, as a client of the model sends it."""

import json
import time
from collections.abc import Sequence
from typing import Final

import httpx

from operators.api import ModelRollout
from operators.cli.backend import Door
from operators.cli.errors import CliError
from operators.cli.said import Item

TRIES: Final = 10
"""How often a batch is sent while the answer is 503."""
_ANSWER_SECONDS: Final = 60.0


class Sender:
    """Sends batches to the router, and counts. `done` items of the source have been dealt with."""

    def __init__(self, client: httpx.Client, model: str, replace: bool) -> None:
        self._client, self._path, self._replace = client, f"/api/v1/models/{model}/feedback", replace
        self.done = self.accepted = self.unknown = 0
        self.conflicts: list[str] = []

    @property
    def sum(self) -> str:
        """What became of all."""
        return f"accepted {self.accepted:,}, unknown {self.unknown:,}, conflicts {len(self.conflicts):,}"

    def send(self, batch: Sequence[Item]) -> None:
        """Items that contradict what was said before are left out, the others are not. Raises `CliError`."""
        self._halved(batch)
        self.done += len(batch)

    def _halved(self, batch: Sequence[Item]) -> None:
        """The router's answer is about all of them: halves of a batch with a conflict are sent by themselves."""
        answer = self._posted(batch)
        if answer.status_code == 409 and len(batch) > 1:
            middle = len(batch) // 2
            self._halved(batch[:middle])
            self._halved(batch[middle:])
        elif answer.status_code == 409:
            self.conflicts.append(batch[0]["request_id"])
        elif answer.status_code == 202:
            content = answer.json()
            self.accepted += content["accepted"]
            self.unknown += content["unknown"]
        else:
            raise CliError(f"the feedback was answered {answer.status_code}: {_told(answer)}")

    def _posted(self, batch: Sequence[Item]) -> httpx.Response:
        """The answer; 503 is no answer yet."""
        for attempt in range(TRIES):
            try:
                answer = self._client.post(self._path, json={"items": [*batch], "replace": self._replace})
            except httpx.HTTPError as error:
                raise CliError(f"{self._client.base_url} cannot be reached: {error}", "is it running?") from error
            if answer.status_code != 503 or attempt == TRIES - 1:
                break
            time.sleep(_wait(answer))
        return answer


def client(door: Door, rollout: ModelRollout) -> httpx.Client:
    """A connection as a client of the model has it: by one of its hosts."""
    host = next((host for host in rollout.spec.traffic.hosts if host != "*"), None)
    headers = {} if host is None else {"host": host}
    return httpx.Client(base_url=door.url, headers=headers, timeout=_ANSWER_SECONDS, trust_env=False)


def _wait(answer: httpx.Response) -> float:
    try:
        return min(float(answer.headers["retry-after"]), 10.0)
    except (KeyError, ValueError):
        return 1.0


def _told(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return answer.text[:200].strip()
