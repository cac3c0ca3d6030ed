"""What is believed of Ray Serve's lists, as recorded from a real one."""

from pathlib import Path

from serving.details import ReplicaTarget, ServeDetails
from serving.discovery import Discovery, ServerAnswer
from serving.spec import ReplicaAddress

ANSWERS = Path(__file__).parent / "answers"
V1, V2 = "tidegate.default.iris.v1", "tidegate.default.iris.v2"


def recorded(name: str) -> ServeDetails:
    return ServeDetails.model_validate_json((ANSWERS / f"{name}.json").read_bytes())


def without_group(details: ServeDetails, application: str) -> ServeDetails:
    groups = [group for group in details.target_groups if group.app_name != application]
    return details.model_copy(update={"target_groups": groups})


def answer_of(target: ReplicaTarget, port: int = 4000) -> ServerAnswer:
    return ServerAnswer(port=port, pid=1, replica=target.name, version="v1")


def discovered(details: ServeDetails) -> Discovery:
    """A discovery whose replicas have all answered."""
    discovery = Discovery()
    for target in discovery.see(details):
        discovery.learn(target, answer_of(target, target.port + 1))
    return discovery


def test_only_replicas_are_asked_and_never_the_proxy() -> None:
    assert Discovery().see(recorded("idle")) == []
    assert Discovery().see(recorded("building")) == []
    asked = Discovery().see(recorded("running"))
    assert len(asked) == 3
    assert all(target.name.startswith("SERVE_REPLICA::") for target in asked)


def test_a_replica_counts_once_it_has_answered() -> None:
    discovery = Discovery()
    [first, *_] = discovery.see(recorded("running"))
    assert discovery.replicas(V1) == ()
    discovery.learn(first, answer_of(first))
    assert discovery.replicas(V1) == (ReplicaAddress("127.0.0.1", 4000, first.name),)


def test_a_replica_is_asked_until_it_answers_and_then_never_again() -> None:
    discovery = Discovery()
    [first, *others] = discovery.see(recorded("running"))
    discovery.learn(first, answer_of(first))
    assert discovery.see(recorded("running")) == others


def test_an_answer_of_another_replica_is_ignored() -> None:
    discovery = Discovery()
    first, second, _ = discovery.see(recorded("running"))
    discovery.learn(first, answer_of(second))
    assert discovery.replicas(V1) == ()


def test_one_empty_list_is_not_believed_but_two_are() -> None:
    discovery = discovered(recorded("running"))
    before = discovery.replicas(V2)
    assert before
    discovery.see(recorded("replica-killed"))
    assert discovery.replicas(V2) == before
    discovery.see(recorded("replica-killed"))
    assert discovery.replicas(V2) == ()
    assert len(discovery.replicas(V1)) == 2


def test_the_two_empty_lists_must_follow_each_other() -> None:
    discovery = discovered(recorded("running"))
    before = discovery.replicas(V2)
    for name in ("replica-killed", "running", "replica-killed"):
        discovery.see(recorded(name))
    assert discovery.replicas(V2) == before


def test_one_of_several_replicas_is_dropped_at_once() -> None:
    details = recorded("running")
    discovery = discovered(details)
    groups = [
        group.model_copy(update={"targets": group.targets[:1]}) if group.app_name == V1 else group
        for group in details.target_groups
    ]
    discovery.see(details.model_copy(update={"target_groups": groups}))
    assert len(discovery.replicas(V1)) == 1


def test_a_controller_that_restarts_takes_no_replica_away() -> None:
    discovery = discovered(recorded("running"))
    before = discovery.replicas(V1), discovery.replicas(V2)
    for _ in range(5):
        assert discovery.see(recorded("controller-restarted")) == []
    assert (discovery.replicas(V1), discovery.replicas(V2)) == before


def test_an_application_that_is_built_again_keeps_its_replicas() -> None:
    discovery = discovered(recorded("running"))
    before = discovery.replicas(V2)
    for _ in range(5):
        discovery.see(without_group(recorded("running"), V2))
    assert discovery.replicas(V2) == before


def test_an_application_on_its_way_out_has_no_replicas_from_the_first_word() -> None:
    discovery = discovered(recorded("running"))
    discovery.see(recorded("deleting"))
    assert discovery.replicas(V2) == ()
    assert len(discovery.replicas(V1)) == 2


def test_a_replica_that_was_gone_is_asked_anew() -> None:
    discovery = discovered(recorded("running"))
    discovery.see(recorded("idle"))
    assert len(discovery.see(recorded("running"))) == 3
