"""What a rollout would do: a manifest against a described world, decided by the real core, in no time.

    scenario.py    the world as it is written down: traffic, versions, events
    behaviour.py   how versions start and answer, and what people say about it, as it is written down
    files.py       what a scenario may name besides itself
    recorded.py    a version's behaviour from a log of requests
    latency.py     how long requests take, and the histogram that Envoy would keep of them
    draws.py       random numbers of requests
    answers.py     what routers count and people say, for so many requests
    world.py       Ray Serve, the routers, the requests and the people, as frozen values that a plan or time changes
    operator.py    when the controller would look at the rollout, and what it would see
    run.py         from one moment to the next, until nothing can happen any more
    result.py      what came of it
    report.py      the same for people and for programs
    plot.py        the same as a picture

Nothing here waits, and only `recorded` reads a file: equal manifests, scenarios and seeds give equal results.
"""

from operators.simulate.result import Moment, Outcome, Result, VersionTotals
from operators.simulate.run import simulate
from operators.simulate.scenario import InvalidScenario, Scenario, parse_scenario

__all__ = [
    "InvalidScenario",
    "Moment",
    "Outcome",
    "Result",
    "Scenario",
    "VersionTotals",
    "parse_scenario",
    "simulate",
]
