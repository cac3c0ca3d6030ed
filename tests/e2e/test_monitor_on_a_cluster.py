"""What people say about answers, on a real cluster: it decides, and what was accepted of it is never lost."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse

import pytest

from tests.e2e.cluster import RELEASE, SETOSA, Cluster
from tests.e2e.rollouts import aside, first_version, healthy_with_another_than, load_on
from tests.integration.monitor.postgresql import PostgreSQL

ASK_THE_MONITOR = """
import os, pathlib, sys, urllib.request
token = pathlib.Path(os.environ["TIDEGATE_MONITOR_TOKEN_FILE"]).read_text().strip()
url = f"http://127.0.0.1:{os.environ['TIDEGATE_MONITOR_PORT']}/internal/v1/tallies?" + sys.argv[1]
asked = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})
print(urllib.request.urlopen(asked, timeout=30).read().decode())
"""


@dataclass
class People:
    """They ask a model through the ingress, one after the other, and say what each answer was worth."""

    cluster: Cluster
    model: str
    refused: list[bytes] = field(default_factory=list)
    """What feedback was answered that was not accepted; it was given again."""
    predicted: int = 0
    accepted: int = 0

    def __post_init__(self) -> None:
        self._connection = HTTPConnection("127.0.0.1", self.cluster.ingress_port, timeout=30)

    def predict(self) -> tuple[str, str, int]:
        """The request's id, the version that answered, and what it said."""
        answer, said = self._post(f"/v1/models/{self.model}:predict", {"instances": [SETOSA]})
        assert answer.status == 200, said
        self.predicted += 1
        return answer.headers["x-request-id"], answer.headers["tidegate-version"], json.loads(said)["predictions"][0]

    def say(self, request_id: str, **what: object) -> None:
        """Give feedback until it is accepted."""
        deadline = time.monotonic() + 60
        while True:
            answer, said = self._post(f"/api/v1/models/{self.model}/feedback", {"request_id": request_id, **what})
            if answer.status == 202:
                self.accepted += 1
                return
            self.refused.append(said)
            assert answer.status == 503, said
            assert time.monotonic() < deadline, f"{said.decode()}\n{self.cluster.story()}"
            time.sleep(0.2)

    def until_accepted(self, more: int) -> None:
        """Wait until so much more feedback was accepted than now."""
        deadline, accepted = time.monotonic() + 60, self.accepted + more
        while self.accepted < accepted:
            assert time.monotonic() < deadline, f"{self.refused[-1:]}\n{self.cluster.story()}"
            time.sleep(0.1)

    def _post(self, path: str, body: object) -> tuple[HTTPResponse, bytes]:
        self._connection.request("POST", path, json.dumps(body), {"host": "tidegate.test"})
        answer = self._connection.getresponse()
        return answer, answer.read()


@pytest.fixture(scope="module")
def heard(cluster: Cluster) -> Iterator[str]:
    """A model about whose answers people speak; its name."""
    asyncio.run(first_version(cluster, "heard"))
    yield "heard"
    cluster.kubectl("delete", "mr", "heard", "--timeout=120s")


def counted(cluster: Cluster, model: str, since: float) -> tuple[int, int, float]:
    """Live requests that came since then, their rewards, and the sum of the rewards, as the monitor has them."""
    query = f"namespace={cluster.namespace}&model={model}&since={since}"
    exec_ = ("exec", f"deployment/{RELEASE}-monitor", "--", "python", "-c", ASK_THE_MONITOR, query)
    versions = json.loads(cluster.kubectl(*exec_))["versions"].values()
    rewards = [version["rewards"] for version in versions]
    requests = sum(version["requests"] for version in versions)
    return requests, sum(one["count"] for one in rewards), sum(one["sum"] for one in rewards)


def until_counted(cluster: Cluster, model: str, since: float, requests: int, rewards: int) -> None:
    """Wait until the monitor has counted exactly so much since then, each reward 1."""
    deadline, expected = time.monotonic() + 90, (requests, rewards, float(rewards))
    while (now := counted(cluster, model, since)) != expected:
        assert now <= expected, f"more than there was: {now} of {expected}"
        assert time.monotonic() < deadline, f"{now} of {expected}\n{cluster.logs('monitor')}"
        time.sleep(0.5)


@asynccontextmanager
async def people_speaking(cluster: Cluster, model: str) -> AsyncIterator[People]:
    """Somebody rewards every answer with 1 while the block runs."""
    people, stop = People(cluster, model), asyncio.Event()

    def speak() -> None:
        while not stop.is_set():
            request_id, _, _ = people.predict()
            people.say(request_id, reward=1)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(speak))
        try:
            yield people
        finally:
            stop.set()


async def test_a_killed_monitor_costs_no_prediction_and_loses_nothing_that_was_accepted(
    cluster: Cluster, heard: str
) -> None:
    since = time.time()
    async with load_on(cluster, heard) as load, people_speaking(cluster, heard) as people:
        [monitor] = await aside(cluster.pods, "monitor")
        await aside(cluster.kubectl, "delete", "pod", monitor["metadata"]["name"], "--timeout=60s")
        await aside(cluster.kubectl, "rollout", "status", f"deployment/{RELEASE}-monitor", "--timeout=60s")
        await aside(people.until_accepted, 20)
    await aside(until_counted, cluster, heard, since, load.tally.sent + people.predicted, people.accepted)


async def test_feedback_is_accepted_while_the_database_is_away_and_counted_when_it_is_back(
    cluster: Cluster, database: PostgreSQL, heard: str
) -> None:
    since = time.time()
    async with load_on(cluster, heard) as load, people_speaking(cluster, heard) as people:
        await aside(database.kill)
        try:
            await aside(people.until_accepted, 100)
        finally:
            await aside(database.start)
    assert people.refused == []
    await aside(until_counted, cluster, heard, since, load.tally.sent + people.predicted, people.accepted)


async def test_an_ab_test_is_won_by_the_version_that_people_say_is_right(cluster: Cluster) -> None:
    stable = await first_version(cluster, "agrees")
    goal = {"metric": "feedback-accuracy"}
    strategy = {"abTest": {"weight": 50, "goal": goal, "onWinner": "promote"}}
    cluster.apply(cluster.rollout("agrees", "iris-2", strategy=strategy, analysis={"interval": "1s"}))
    cluster.until("agrees", lambda status: bool(status.get("experiment", {}).get("arms")))
    people, won = People(cluster, "agrees"), healthy_with_another_than(stable)
    deadline = time.monotonic() + 120
    while not won(status := cluster.status("agrees")):
        assert time.monotonic() < deadline, cluster.story()
        for _ in range(50):
            request_id, version, said = people.predict()
            people.say(request_id, label=said if version != stable else said + 1)
    assert {arm["counted"]["count"] >= 100 for arm in status["experiment"]["arms"]} == {True}
    cluster.kubectl("delete", "mr", "agrees", "--timeout=120s")
