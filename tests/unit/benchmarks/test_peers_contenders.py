"""What is said about contenders holds together: pins, locks, placeholders."""

import json
import tomllib
from pathlib import Path

import pytest

from benchmarks.peers.contenders import CONTENDERS, RAY, RAY_DIRECT, RAY_HAPROXY, SERVERS, SPARE_PORTS, Contender, Place
from benchmarks.peers.environments import folder_of
from benchmarks.peers.running import environment

PLACE = Place(Path("/a b/bin/python"), Path("/models/iris.joblib"), Path("/run/peer"), 1000, (1001, 1002, 1003))
each_contender = pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)


def locked(contender: Contender) -> dict[str, str]:
    lines = contender.packages.lock.read_text().splitlines()
    return dict(line.partition(" ;")[0].split("==") for line in lines if line)


def test_no_two_contenders_share_a_name() -> None:
    assert len({contender.name for contender in CONTENDERS}) == len(CONTENDERS)


@each_contender
def test_every_requirement_is_pinned_and_so_in_the_lock(contender: Contender) -> None:
    versions = locked(contender)
    for requirement in contender.packages.requirements:
        name, version = requirement.split("==")
        assert versions[name.partition("[")[0]] == version


@each_contender
def test_the_model_is_read_by_the_same_scikit_learn_as_ours(contender: Contender) -> None:
    lock = tomllib.loads(Path("uv.lock").read_text())
    ours = {package["name"]: package.get("version") for package in lock["package"]}
    for name in ("scikit-learn", "joblib"):
        assert locked(contender)[name] == ours[name]


@each_contender
def test_the_version_is_that_of_the_contenders_own_package(contender: Contender) -> None:
    assert contender.version in locked(contender).values()
    assert contender.packages.requirements[0].endswith(f"=={contender.version}")


@each_contender
def test_every_placeholder_is_one_that_a_run_fills(contender: Contender) -> None:
    assert len(PLACE.spare) == SPARE_PORTS
    words = contender.words(PLACE)
    filled = [*words, *environment(contender, PLACE, {}).values()]
    filled += [PLACE.fill(text) for text in contender.files.values()]
    assert not [text for text in filled if "$" in text]
    assert any(str(PLACE.port) in text for text in filled)


@each_contender
def test_every_file_of_ours_that_a_command_names_exists(contender: Contender) -> None:
    for word in contender.words(PLACE):
        if word.endswith(".py"):
            assert Path(word).is_file()


@each_contender
def test_files_that_are_named_json_are_json(contender: Contender) -> None:
    for name, text in contender.files.items():
        assert name.endswith(".json")
        json.loads(PLACE.fill(text))


def test_a_path_with_a_space_stays_one_word() -> None:
    assert RAY.words(PLACE)[0] == "/a b/bin/python"


def test_an_unknown_placeholder_is_an_error() -> None:
    with pytest.raises(KeyError):
        PLACE.fill("$elsewhere")


def test_the_servers_folder_is_filled_in() -> None:
    assert PLACE.fill("$servers/$port") == f"{SERVERS}/1000"


@pytest.mark.parametrize("contender", [RAY, RAY_HAPROXY, RAY_DIRECT], ids=lambda contender: contender.name)
def test_ray_starts_a_cluster_of_its_own(contender: Contender) -> None:
    assert environment(contender, PLACE, {"RAY_ADDRESS": "10.0.0.1:6379"})["RAY_ADDRESS"] == "local"


def test_a_contender_inherits_nothing_that_points_at_our_own_environment() -> None:
    inherited = {"PYTHONPATH": "/ours", "VIRTUAL_ENV": "/ours", "RAY_SERVE_X": "1", "HOME": "/home", "PATH": "/usr/bin"}
    assert environment(RAY_DIRECT, PLACE, inherited) == {
        "HOME": "/home",
        "PATH": "/a b/bin:/usr/bin",
        "MODEL": "/models/iris.joblib",
        "RAY_ADDRESS": "local",
        "RAY_TMPDIR": "/run/peer",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": "1000",
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": "65535",
    }


def test_environments_are_kept_in_the_cache_folder_one_for_each_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = {folder_of(contender.packages) for contender in CONTENDERS}
    assert {folder.parent for folder in folders} == {tmp_path / "tidegate" / "peers"}
    assert len(folders) == len({contender.packages for contender in CONTENDERS})
