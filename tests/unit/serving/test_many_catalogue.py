"""What a folder of models is taken for."""

import time

import joblib
import pytest
from sklearn.dummy import DummyRegressor

from serving.errors import ArtifactNotFound, CodeRefused, ModelLoadError, UnloadableModel, UnsupportedModel
from serving.many import Catalogue, open_catalogue
from serving.many.catalogue import Member, find_members
from serving.spec import InputSpec, ModelSource


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_ARTIFACT_CODE", "always")
    path = tmp_path / "fleet"
    path.mkdir()
    return path


def put(folder, *names):
    for name in names:
        joblib.dump(DummyRegressor().fit([[0.0, 0.0]], [1]), folder / name)


def catalogue(names):
    members = {name: Member(None, 1) for name in names}
    return Catalogue(ModelSource("file:///fleet", "sklearn"), members, "fleet")


def test_a_member_is_called_as_its_file_or_folder_is(folder):
    put(folder, "b.joblib", "a.skops", "v1.2.pkl")
    (folder / "inner.d").mkdir()
    put(folder / "inner.d", "model.joblib")
    (folder / ".hidden").write_bytes(b"x")
    (folder / "b.joblib.profile.json").write_bytes(b"{}")
    (folder / "model.sig").write_bytes(b"x")
    members = find_members(folder)
    assert set(members) == {"a", "b", "v1.2", "inner.d"}
    assert members["inner.d"].size == (folder / "inner.d" / "model.joblib").stat().st_size


def test_two_files_of_one_name_are_refused(folder):
    put(folder, "a.joblib", "a.pkl")
    with pytest.raises(UnsupportedModel, match=r"a\.joblib and a\.pkl would both be the model a"):
        find_members(folder)


@pytest.mark.parametrize("name", ["a b.joblib", "ä.joblib", "-a.joblib", "a%41.joblib", "a:b.joblib", "x" * 129])
def test_a_name_that_cannot_stand_in_a_path_is_refused(folder, name):
    (folder / name).write_bytes(b"x")
    with pytest.raises(UnsupportedModel, match="cannot be asked for"):
        find_members(folder)


def test_a_file_is_no_folder_of_models_and_an_empty_folder_holds_none(folder):
    with pytest.raises(UnsupportedModel, match="holds no model"):
        find_members(folder)
    put(folder, "a.joblib")
    with pytest.raises(UnsupportedModel, match="is one file"):
        find_members(folder / "a.joblib")


def test_the_nearest_name_is_found_at_either_end_and_soon_among_very_many():
    many = catalogue([f"shop-{number:05}" for number in range(20_000)])
    began = time.perf_counter()
    assert many.nearest("shop-0123").replace("shop-", "").count("0123") == 1
    assert many.nearest("shpo-12345") == "shop-12345"
    assert many.nearest("shop-12345x") == "shop-12345"
    assert many.nearest("entirely different") is None
    assert many.nearest("") is None
    assert many.nearest("s" * 1_000_000) is None
    assert time.perf_counter() - began < 5, "names are not compared with all others"


def test_members_are_loaded_as_the_manifest_says_of_all(folder, tmp_path):
    put(folder, "a.joblib")
    inputs = InputSpec("x"), InputSpec("y", "INT32")
    found = open_catalogue(ModelSource(folder.as_uri(), "sklearn", inputs=inputs), tmp_path / "cache", "fleet")
    assert found.load("a").signature.features == inputs


def test_a_version_whose_first_members_all_fail_cannot_be_served(folder, tmp_path):
    for number in range(7):
        (folder / f"m{number}.joblib").write_bytes(b"no pickle")
    with pytest.raises(UnloadableModel, match=r"none of m0, m1, m2, m3, m4 can be loaded, the first of 7 models; m0: "):
        open_catalogue(ModelSource(folder.as_uri(), "sklearn"), tmp_path / "cache", "fleet")


def test_a_member_that_fails_does_not_keep_the_version_from_being_served(folder, tmp_path):
    (folder / "a.joblib").write_bytes(b"no pickle")
    put(folder, "b.joblib")
    found = open_catalogue(ModelSource(folder.as_uri(), "sklearn"), tmp_path / "cache", "fleet")
    with pytest.raises(ModelLoadError):
        found.load("a")
    assert found.load("b").signature.width == 2


def test_the_policy_about_code_is_kept_for_members_too(folder, tmp_path, monkeypatch):
    put(folder, "a.joblib")
    monkeypatch.setenv("TIDEGATE_ARTIFACT_CODE", "verified")
    with pytest.raises(UnloadableModel, match="nobody vouches for it"):
        open_catalogue(ModelSource(folder.as_uri(), "sklearn"), tmp_path / "cache", "fleet")
    unverified = Catalogue(ModelSource(folder.as_uri(), "sklearn"), find_members(folder), "fleet")
    with pytest.raises(CodeRefused):
        unverified.load("a")


def test_an_unknown_runtime_and_a_missing_folder_are_errors(folder, tmp_path):
    put(folder, "a.joblib")
    with pytest.raises(UnsupportedModel, match="unknown runtime"):
        open_catalogue(ModelSource(folder.as_uri(), "abacus"), tmp_path / "cache", "fleet")
    with pytest.raises(ArtifactNotFound):
        open_catalogue(ModelSource((folder / "none").as_uri(), "sklearn"), tmp_path / "cache", "fleet")
