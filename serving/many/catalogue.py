"""Which models a folder holds, one for each file or folder in it, and how one of them is loaded."""

import difflib
import re
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from serving.about import SUFFIX as METRICS_SUFFIX
from serving.artifacts import obtain
from serving.artifacts.signature import NAME as SIGNATURE
from serving.errors import MissingLibrary, ModelLoadError, UnloadableModel, UnsupportedModel
from serving.records.profile import SUFFIX as PROFILE_SUFFIX
from serving.runtimes import LoadedModel, open_model
from serving.spec import ModelSource

LONGEST: Final = 128
"""Characters of a member's name."""
NEIGHBOURS: Final = 16
"""How many names on either side of an unknown one are compared with it."""
NAME: Final = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._~-]{{0,{LONGEST - 1}}}")
"""What a member may be called: names stand in paths."""
TRIALS: Final = 5
"""How many members may fail to load one after the other, until the whole version is taken for unloadable."""


@dataclass(frozen=True, slots=True)
class Member:
    """One model of many: where it is, and the bytes of its files."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What loaded members may take together: bytes, and a number (0: any)."""

    memory_bytes: int
    max_loaded: int = 0


class Catalogue:
    """The members of one version by name. What is in the folder later changes nothing: a version never does."""

    def __init__(self, source: ModelSource, members: Mapping[str, Member], rollout: str) -> None:
        """`source` is that of the folder, `rollout` what all of the members' full names begin with."""
        self.source = source
        self.members = members
        self.rollout = rollout
        self._sorted = sorted(members)
        self._reversed = sorted(name[::-1] for name in members)

    def load(self, name: str) -> LoadedModel:
        """Load a member. Blocks; for one thread at a time. Raises `ModelLoadError`."""
        path = self.members[name].path
        uri = f"{self.source.uri.rstrip('/')}/{path.name}"
        return open_model(path, replace(self.source, uri=uri), f"{self.rollout}.{name}")

    def nearest(self, name: str) -> str | None:
        """The name that was perhaps meant. Only those are compared that begin or end alike: there may be thousands."""
        name = name[:LONGEST]
        beginning, ending = bisect(self._sorted, name), bisect(self._reversed, name[::-1])
        near = [
            *self._sorted[max(0, beginning - NEIGHBOURS) : beginning + NEIGHBOURS],
            *(each[::-1] for each in self._reversed[max(0, ending - NEIGHBOURS) : ending + NEIGHBOURS]),
        ]
        close = difflib.get_close_matches(name, near, n=1)
        return close[0] if close else None

    def try_out(self) -> None:
        """Load one member, which imports what all of them need: a runtime that cannot work is found out now.

        Members that fail are passed over, but not too many in a row. Raises `ModelLoadError`.
        """
        failures: dict[str, ModelLoadError] = {}
        for name in [*self.members][:TRIALS]:
            try:
                self.load(name)
            except (MissingLibrary, UnsupportedModel):
                raise
            except ModelLoadError as error:
                failures[name] = error
            else:
                return
        first, reason = next(iter(failures.items()))
        raise UnloadableModel(
            f"none of {', '.join(failures)} can be loaded, the first of {len(self.members)} models; {first}: {reason}"
        ) from reason


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a server of many models is given in place of one."""

    catalogue: Catalogue
    budget: Budget


def open_catalogue(source: ModelSource, cache: Path, rollout: str) -> Catalogue:
    """Fetch and verify a folder of models, and see that they can be loaded. Raises `ModelLoadError`."""
    artifact = obtain(source, cache)
    catalogue = Catalogue(artifact.source, find_members(artifact.path), rollout)
    catalogue.try_out()
    return catalogue


def find_members(folder: Path) -> Mapping[str, Member]:
    """The models in a folder, by name: a file's without its suffix, a folder's as it is.

    Hidden files, profiles, metrics and a signature are no models. Raises `UnsupportedModel` where there is none, where
    two have the same name, or one has a name that cannot stand in a path.
    """
    if not folder.is_dir():
        raise UnsupportedModel(f"{folder.name} is one file; spec.serving.multiModel needs a folder with one model each")
    members: dict[str, Member] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith((PROFILE_SUFFIX, METRICS_SUFFIX)) or path.name == SIGNATURE:
            continue
        name = path.stem if path.is_file() else path.name
        if not NAME.fullmatch(name):
            raise UnsupportedModel(
                f"{path.name} cannot be asked for: names of models are up to {LONGEST} letters, digits, dots, - _ ~"
            )
        if name in members:
            raise UnsupportedModel(f"{members[name].path.name} and {path.name} would both be the model {name}")
        members[name] = Member(path, _bytes_of(path))
    if not members:
        raise UnsupportedModel(f"the folder {folder.name} holds no model")
    return members


def _bytes_of(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
