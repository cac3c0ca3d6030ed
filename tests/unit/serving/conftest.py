"""Models of any runtime, loaded as a replica loads them."""

import pytest

from serving.runtimes import load
from serving.spec import ModelSource


@pytest.fixture
def load_model(tmp_path, monkeypatch):
    """Load what a path holds, with the policy of local mode: pickles and classes may run."""
    monkeypatch.setenv("TIDEGATE_ARTIFACT_CODE", "always")

    def load_model(path, runtime, inputs=(), class_name=None, sha256=None):
        return load(ModelSource(path.as_uri(), runtime, sha256, inputs, class_name), tmp_path / "cache")

    return load_model


@pytest.fixture
def without(monkeypatch):
    """Make a library look as if it were not installed."""

    def without(module):
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name == module or name.startswith(f"{module}."):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        import sys  # noqa: PLC0415 - only this fixture looks at the modules

        for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])

    return without
