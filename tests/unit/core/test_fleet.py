"""The view of all rollouts at once."""

from core_world import live, model

from operators.api import ModelRollout, RolloutKey, parse_manifest
from operators.fleet import compose, conflicts
from operators.plan import Plan
from operators.status import RolloutStatus


def rollout(
    namespace: str, name: str = "iris", hosts: tuple[str, ...] = ("*",), created: float = 0.0, **paths: str
) -> ModelRollout:
    """A rollout that claims hosts, and perhaps paths."""
    return parse_manifest(
        {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "ModelRollout",
            "metadata": {"namespace": namespace, "name": name, "creationTimestamp": created},
            "spec": {"model": model(1), "traffic": {"hosts": list(hosts), "paths": paths}},
        }
    )


def test_the_older_rollout_keeps_its_host_and_model_name() -> None:
    lost = conflicts([rollout("new", created=2), rollout("old", created=1)])
    assert set(lost) == {RolloutKey("new", "iris")}
    assert "model iris on host * belongs to old/iris" in lost[RolloutKey("new", "iris")]


def test_of_two_of_one_age_the_first_by_name_wins() -> None:
    assert set(conflicts([rollout("b"), rollout("a")])) == {RolloutKey("b", "iris")}


def test_other_models_and_other_hosts_are_no_conflict() -> None:
    assert not conflicts([rollout("a"), rollout("b", name="digits"), rollout("c", hosts=("c.example",))])


def test_a_rollout_without_a_route_is_in_nobodys_way() -> None:
    oldest = rollout("a", hosts=("one",), created=1)
    loser = rollout("b", hosts=("one", "two"), created=2)
    third = rollout("c", hosts=("two",), created=3)
    assert set(conflicts([third, loser, oldest])) == {RolloutKey("b", "iris")}


def test_a_path_of_its_own_belongs_to_the_older_rollout_too_whatever_it_is_for() -> None:
    old = rollout("a", "credit", predict="/predict", docs="/docs")
    young = rollout("b", "loans", created=1, predict="/docs")
    lost = conflicts([young, old])
    assert lost == {
        young.key: "path /docs on host * belongs to a/credit, which is older: name other hosts in spec.traffic.hosts "
        "or other paths in spec.traffic.paths, or delete one of the two"
    }


def test_one_path_may_be_two_rollouts_on_two_hosts() -> None:
    everywhere = rollout("a", "credit", predict="/predict")
    somewhere = rollout("b", "loans", hosts=("loans.example",), predict="/predict")
    assert not conflicts([everywhere, somewhere])


def test_plans_are_composed_in_one_order_whatever_order_they_come_in() -> None:
    world = live()
    world.apply(model=model(2))
    world.settle()
    assert world.plan is not None
    gone = Plan(targets=(), route=None, status=RolloutStatus())
    fleet = compose([world.plan, gone])
    assert compose([gone, world.plan]) == fleet
    assert [target.key for target in fleet.targets] == sorted(target.key for target in world.plan.targets)
    assert fleet.routes == (world.plan.route,)
