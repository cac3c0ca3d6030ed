"""Every keyed request lands, through Envoy and on real replicas, where `router.split` says."""

from itertools import cycle

from stackkit import ROWS, at_weight, canary, first_version, until

from benchmarks.client import burst, infer_body, post
from router.ir import Backend, Route, RouteKey
from router.split import choose

NAME = "keyed"
HEADER = "x-user-id"
KEYS = [f"user-{number}@example.com" for number in range(20_000)]


async def test_20_000_keyed_requests_land_where_the_split_is_foretold_each_one(stack) -> None:
    path = f"/v2/models/{NAME}/infer"
    bodies = cycle(infer_body([row]) for row in ROWS)
    payloads = [post(path, body, {HEADER: key}) for key, body in zip(KEYS, bodies, strict=False)]
    stable = await first_version(stack, NAME)
    steps = [step for weight in (5, 25, 50) for step in ({"setWeight": weight}, {"pause": {}})]
    stack.apply(NAME, "iris-2", strategy=canary(*steps), traffic={"sticky": {"header": HEADER}})
    kept: set[str] = set()
    for weight in (5, 25, 50):
        candidate = (await until(stack, NAME, at_weight(weight)))["candidate"]["id"]
        backends = (Backend(candidate, 100 * weight), Backend(stable, 10_000 - 100 * weight))
        route = Route(RouteKey("default", NAME), NAME, backends=backends, sticky_header=HEADER)
        tally, answers = await burst(stack.port, payloads, connections=64)
        assert tally.failed == 0, tally.failures
        assert [answer.version for answer in answers] == [choose(route, key) for key in KEYS]
        reached = {key for key, answer in zip(KEYS, answers, strict=True) if answer.version == candidate}
        assert kept < reached  # whoever has met the candidate stays with it
        kept = reached
        stack.cli("promote", NAME)
    stack.cli("delete", NAME)
