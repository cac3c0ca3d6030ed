"""What runtimes share: finding a model's file, importing a library, trying a native file in a process of its own."""

import json
from importlib import import_module
from types import ModuleType

import lightgbm
import numpy as np
import pytest
import xgboost

from serving.errors import UnloadableModel, UnsupportedModel
from serving.runtimes import files, trial


def test_a_folder_gives_its_one_file_or_the_one_called_model(tmp_path):
    (tmp_path / "a.ubj").touch()
    (tmp_path / "notes.md").touch()
    assert files.model_file(tmp_path, (".ubj",), "xgboost").name == "a.ubj"
    (tmp_path / "model.ubj").touch()
    assert files.model_file(tmp_path, (".ubj",), "xgboost").name == "model.ubj"
    (tmp_path / "model.json").touch()
    with pytest.raises(
        UnsupportedModel, match=r"needs one file \*\.ubj, \*\.json in .*; found model\.json, model\.ubj"
    ):
        files.model_file(tmp_path, (".ubj", ".json"), "xgboost")


def test_a_library_that_is_installed_but_broken_is_told_with_its_own_words(monkeypatch):
    def broken(name):
        raise OSError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(files, "import_module", broken)
    with pytest.raises(UnloadableModel, match=r"lightgbm is installed, but does not work here: libgomp\.so\.1"):
        files.library("lightgbm", "lightgbm", "lightgbm")


def test_a_file_that_keeps_its_process_busy_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(trial, "SECONDS", 0.0)
    (tmp_path / "model.txt").touch()
    reason = trial.reason_against(lightgbm, tmp_path / "model.txt")
    assert reason == "reading it and predicting a row took more than 0.0 seconds"


def test_a_library_without_a_shared_object_of_its_own_tries_nothing(tmp_path):
    module = ModuleType("lightgbm")
    module.__file__ = str(tmp_path / "__init__.py")
    assert trial.reason_against(module, tmp_path / "model.txt") is None


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_a_file_that_is_not_there_is_told_by_the_library(tmp_path, name):
    assert trial.reason_against(import_module(name), tmp_path / "model.ubj")


@pytest.mark.parametrize("says", ["num_feature", "num_class"])
def test_a_small_file_that_says_it_is_huge_is_refused(tmp_path, says):
    rows = np.random.default_rng(0).normal(size=(20, 3))
    model = json.loads(xgboost.train({}, xgboost.DMatrix(rows, rows[:, 0]), 1).save_raw("json"))
    model["learner"]["learner_model_param"][says] = "60000000"
    file = tmp_path / "model.json"
    file.write_text(json.dumps(model))
    assert trial.reason_against(xgboost, file) is not None
