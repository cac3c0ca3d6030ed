"""What replicas say of their models beside the port of their servers."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from serving.details import ServeDetails
from serving.discovery import Discovery, ServerAnswer
from serving.spec import Acceleration

ANSWERS = Path(__file__).parent / "answers"
DONE = Acceleration(True, "Converted", "they agree")
CRASHED = Acceleration(False, "Crashed", "it was ended by SIGSEGV")


def told(accelerations: Sequence[Acceleration | None]) -> tuple[Discovery, str]:
    """A discovery whose replicas have said these, the last one for all that are left, and their application."""
    details = ServeDetails.model_validate_json((ANSWERS / "running.json").read_bytes())
    discovery = Discovery()
    asked = discovery.see(details)
    groups = {group.app_name: group.targets for group in details.target_groups if len(group.targets) > 1}
    name, targets = next(iter(groups.items()))
    names = [target.name for target in targets]
    for target in asked:
        place = names.index(target.name) if target.name in names else 0
        said = accelerations[min(place, len(accelerations) - 1)]
        answer = ServerAnswer(port=1, pid=1, replica=target.name, version="v1", acceleration=said)
        discovery.learn(target, ServerAnswer.model_validate_json(answer.model_dump_json()))
    return discovery, name


@pytest.mark.parametrize(
    ("accelerations", "found"), [([DONE], DONE), ([DONE, CRASHED], CRASHED), ([CRASHED, DONE], CRASHED), ([None], None)]
)
def test_one_replica_that_is_not_converted_speaks_for_all(
    accelerations: list[Acceleration | None], found: Acceleration | None
) -> None:
    discovery, name = told(accelerations)
    assert discovery.acceleration(name) == found


def test_what_a_replica_said_goes_with_it() -> None:
    discovery, name = told([CRASHED])
    empty = ServeDetails(applications={})
    discovery.see(empty)
    assert discovery.acceleration(name) is None


def test_a_replica_of_an_older_release_says_nothing_of_it() -> None:
    answer = ServerAnswer.model_validate_json('{"port": 1, "pid": 2, "replica": "r", "version": "v"}')
    assert answer.acceleration is None
