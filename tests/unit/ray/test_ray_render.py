"""From targets to Ray Serve's configuration and back."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from serving.details import Json, ServeDetails
from serving.render import IMPORT_PATH, application, compose, key_of, target_of, undeclared
from serving.spec import Autoscaling, InputSpec, ModelSource, ServeTarget, TargetKey

ANSWERS = Path(__file__).parent / "answers"
TARGET = ServeTarget(
    TargetKey("default", "iris", "0123456789"),
    ModelSource("file:///srv/iris.joblib", "sklearn", sha256="ab" * 32, inputs=(InputSpec("petal"),)),
    replicas=2,
    cpu=0.5,
    memory_bytes=1 << 29,
    drain_seconds=7.0,
    env=(("TOKENIZER", "fast"),),
    pip=("einops",),
)


def recorded(name: str) -> ServeDetails:
    return ServeDetails.model_validate_json((ANSWERS / f"{name}.json").read_bytes())


def running_targets() -> list[ServeTarget]:
    """The targets that the recording `running` was made with."""
    source = ModelSource("file:///srv/models/iris-1.joblib", "sklearn")
    one = ServeTarget(TargetKey("default", "iris", "v1"), source, replicas=2)
    return [one, replace(one, key=replace(one.key, version="v2"), replicas=1)]


def with_foreign(details: ServeDetails, **changes: object) -> ServeDetails:
    config = {"name": "theirs", "import_path": "shop.app:app", "route_prefix": "/", "runtime_env": {"pip": ["x"]}}
    template = next(iter(details.applications.values()))
    theirs = template.model_copy(update={"name": "theirs", "config": config} | changes)
    return details.model_copy(update={"applications": {**details.applications, "theirs": theirs}})


def test_a_target_becomes_one_application() -> None:
    assert application(TARGET) == {
        "name": "tidegate.default.iris.0123456789",
        "route_prefix": "/tidegate/default/iris/0123456789",
        "import_path": "serving.app:build",
        "args": {
            "key": {"namespace": "default", "name": "iris", "version": "0123456789"},
            "source": orjson.loads(orjson.dumps(TARGET.source)),
            "cpu": 0.5,
            "gpu": 0.0,
            "memory_bytes": 1 << 29,
            "max_batch": 64,
            "max_queue": 1024,
            "max_body_bytes": 1 << 20,
            "drain_seconds": 7.0,
            "env": [["TOKENIZER", "fast"]],
            "pip": ["einops"],
            "members_bytes": 0,
            "members_loaded": 0,
        },
        "deployments": [
            {
                "name": "model",
                "num_replicas": "auto",
                "autoscaling_config": {
                    "min_replicas": 2,
                    "max_replicas": 2,
                    "metrics_interval_s": 2.0,
                    "look_back_period_s": 5.0,
                    "policy": {"policy_function": "serving.autoscaling:policy"},
                },
                "ray_actor_options": {
                    "num_cpus": 0.5,
                    "num_gpus": 0.0,
                    "memory": 1 << 29,
                    "runtime_env": {"env_vars": {"TOKENIZER": "fast"}, "pip": ["einops", "grpcio-reflection"]},
                },
                "max_ongoing_requests": 16,
                "health_check_period_s": 0.5,
                "health_check_timeout_s": 10.0,
                "graceful_shutdown_wait_loop_s": 0.5,
                "graceful_shutdown_timeout_s": 17.0,
                "logging_config": {"enable_access_log": False},
            }
        ],
    }


def applied(config: Json) -> ServeDetails:
    """A Ray Serve that was given this application and no other."""
    app = {"name": config["name"], "status": "RUNNING", "deployed_app_config": config}
    return ServeDetails.model_validate({"applications": {config["name"]: app}})


def scaling_of(config: Json | None) -> Json:
    """What the only application of a configuration says of its size."""
    assert config is not None
    [app] = config["applications"]
    [deployment] = app["deployments"]
    return {name: deployment.get(name) for name in ("num_replicas", "autoscaling_config")}


def test_a_size_that_follows_requests_is_told_with_its_bounds_and_delays() -> None:
    found = scaling_of({"applications": [application(replace(TARGET, autoscaling=Autoscaling(9, 5, 1.5, 30.0)))]})
    assert found == {
        "num_replicas": "auto",
        "autoscaling_config": {
            "min_replicas": 2,
            "max_replicas": 9,
            "target_ongoing_requests": 5,
            "upscale_delay_s": 1.5,
            "downscale_delay_s": 30.0,
            "metrics_interval_s": 2.0,
            "look_back_period_s": 5.0,
            "policy": {"policy_function": "serving.autoscaling:policy"},
        },
    }


AUTOSCALED = replace(TARGET, autoscaling=Autoscaling(9))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (TARGET, replace(TARGET, replicas=3)),
        (TARGET, AUTOSCALED),
        (AUTOSCALED, TARGET),
        (AUTOSCALED, replace(AUTOSCALED, replicas=1)),
        (AUTOSCALED, replace(AUTOSCALED, autoscaling=Autoscaling(8))),
        (AUTOSCALED, replace(AUTOSCALED, autoscaling=Autoscaling(9, 7))),
        (AUTOSCALED, replace(AUTOSCALED, autoscaling=Autoscaling(9, upscale_delay=1.0))),
        (AUTOSCALED, replace(AUTOSCALED, autoscaling=Autoscaling(9, downscale_delay=1.0))),
    ],
)
def test_another_size_changes_nothing_that_ray_serve_builds_by(before: ServeTarget, after: ServeTarget) -> None:
    config = compose([after], applied(application(before)), "127.0.0.1")
    found, was, wanted = scaling_of(config), application(before), application(after)
    [old], [new] = was["deployments"], wanted["deployments"]
    assert found["autoscaling_config"].items() >= new["autoscaling_config"].items()
    assert found["autoscaling_config"]["policy"] == old["autoscaling_config"]["policy"]
    assert config is not None
    [app] = config["applications"]
    assert {**app, "deployments": []} == {**was, "deployments": []}
    assert compose([after], applied(app), "127.0.0.1") is None


def test_a_size_that_ray_serve_has_chosen_is_left_alone() -> None:
    assert compose([AUTOSCALED], applied(application(AUTOSCALED)), "127.0.0.1") is None


def test_a_version_of_a_release_with_fixed_sizes_only_can_follow_its_requests_from_now_on() -> None:
    one = replace(running_targets()[0], autoscaling=Autoscaling(4))
    assert scaling_of(compose([one], recorded("running"), "127.0.0.1")) == scaling_of(
        {"applications": [application(one)]}
    )


def test_options_that_were_not_asked_for_are_not_sent() -> None:
    plain = ServeTarget(TARGET.key, TARGET.source)
    [deployment] = application(plain)["deployments"]
    assert deployment["ray_actor_options"] == {"num_cpus": 0.1, "num_gpus": 0.0}


def test_the_arguments_lead_back_to_the_target_but_for_its_number_of_replicas() -> None:
    assert target_of(application(TARGET)["args"]) == replace(TARGET, replicas=1)


def test_another_number_of_replicas_changes_no_argument() -> None:
    assert application(replace(TARGET, replicas=9))["args"] == application(TARGET)["args"]


def test_two_versions_differ_in_name_and_route() -> None:
    one, two = application(TARGET), application(replace(TARGET, key=replace(TARGET.key, version="fedcba9876")))
    assert one["name"] != two["name"]
    assert one["route_prefix"] != two["route_prefix"]


def test_the_identity_is_read_from_the_arguments_and_not_from_the_name() -> None:
    assert key_of(application(TARGET) | {"name": "renamed"}) == TARGET.key


@pytest.mark.parametrize(
    "config",
    [
        application(TARGET) | {"import_path": "shop.app:app"},
        {"name": "x", "import_path": IMPORT_PATH},
        {"name": "x", "import_path": IMPORT_PATH, "args": {"key": "default/iris/1"}},
    ],
    ids=["another import path", "no arguments", "arguments of another kind"],
)
def test_an_application_without_our_marks_is_not_ours(config: dict[str, object]) -> None:
    assert key_of(config) is None


def test_what_runs_as_wanted_needs_no_change() -> None:
    assert compose(running_targets(), recorded("running"), "127.0.0.1") is None


def test_an_empty_cluster_gets_the_options_that_start_ray_serve() -> None:
    config = compose([TARGET], ServeDetails(applications={}), "0.0.0.0")
    assert config == {
        "proxy_location": "HeadOnly",
        "http_options": {"host": "0.0.0.0", "port": 8000},
        "applications": [application(TARGET)],
    }


def test_the_options_of_a_running_ray_serve_are_repeated() -> None:
    details = recorded("running")
    config = compose([], details, "0.0.0.0")
    assert config is not None
    assert config["http_options"] == details.http_options
    assert config["grpc_options"] == details.grpc_options
    assert config["applications"] == []


def test_applications_of_others_are_carried_over_unchanged() -> None:
    details = with_foreign(recorded("running"))
    config = compose(running_targets()[:1], details, "127.0.0.1")
    assert config is not None
    theirs, ours = config["applications"]
    assert theirs == details.applications["theirs"].config
    assert ours["name"] == "tidegate.default.iris.v1"


def test_applications_of_others_alone_are_no_reason_for_a_change() -> None:
    assert compose(running_targets(), with_foreign(recorded("running")), "127.0.0.1") is None


def test_what_others_run_from_code_is_left_to_them() -> None:
    details = with_foreign(recorded("running"), source="imperative", config=None)
    config = compose([], details, "127.0.0.1")
    assert config is not None
    assert config["applications"] == []
    assert undeclared(details.applications.values()) == []


def test_an_application_without_a_known_configuration_is_named_before_it_is_lost() -> None:
    details = with_foreign(recorded("running"), config=None)
    assert undeclared(details.applications.values()) == ["theirs"]
    assert undeclared(recorded("deleting").applications.values()) == []


def test_a_running_version_keeps_its_configuration_to_the_letter_when_scaled() -> None:
    details = recorded("running")
    before = details.applications["tidegate.default.iris.v2"].config
    assert before is not None
    one, two = running_targets()
    config = compose([one, replace(two, replicas=3, cpu=4.0)], details, "127.0.0.1")
    assert config is not None
    after = config["applications"][1]
    [deployment] = after["deployments"]
    assert deployment["num_replicas"] == 3
    assert after | {"deployments": []} == before | {"deployments": []}
    assert deployment | {"num_replicas": 1} == before["deployments"][0]


def test_a_version_on_its_way_out_is_wanted_again_like_a_new_one() -> None:
    config = compose(running_targets(), recorded("deleting"), "127.0.0.1")
    assert config is not None
    assert [app["name"] for app in config["applications"]] == ["tidegate.default.iris.v1", "tidegate.default.iris.v2"]


def test_a_version_on_its_way_out_needs_no_second_request() -> None:
    assert compose(running_targets()[:1], recorded("deleting"), "127.0.0.1") is None
