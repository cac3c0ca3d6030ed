"""Finds out what a manifest is, has it converted, and checks what came of it as `apply` would."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from operators.api import API_VERSION, KIND, InvalidManifest, parse_manifest
from operators.convert import argo, kserve, seldon
from operators.convert.fields import Fields
from operators.convert.report import Kind, NotConvertible, Note


@dataclass(frozen=True, slots=True)
class Conversion:
    """One manifest that was read, where it was, and the rollout that came of it, if one did."""

    place: str
    rollout: dict[str, Any] | None
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of manifest of another project's."""

    groups: tuple[str, ...]
    version: str
    kind: str
    convert: Callable[[Fields], dict[str, Any]]


SOURCES: Final = tuple(
    Source(module.GROUPS, module.VERSION, module.KIND, module.convert) for module in (kserve, seldon, argo)
)
"""All that can be converted."""
_NOT_READ: Final = f"which is not read: only {', '.join(source.kind for source in SOURCES)} are"


def convert(documents: Iterable[tuple[str, Mapping[str, object]]]) -> Iterator[Conversion]:
    """Convert manifests, each given with the place where it is, for messages.

    A List is read as what is in it, as `kubectl get -o yaml` writes it. Of two that would become the same rollout, only
    the first does.
    """
    places: dict[tuple[str, str], str] = {}
    for place, document in documents:
        for path, manifest in _manifests(document):
            rollout, notes = _convert(path, manifest)
            if rollout is not None:
                key = (rollout["metadata"].get("namespace", ""), rollout["metadata"]["name"])
                if key in places:
                    reason = f"{key[1]} is the rollout of {places[key]} already"
                    rollout, notes = None, [Note("metadata.name", Kind.NOT_CONVERTED, reason, "rename one")]
                places.setdefault(key, f"{place} {path}".rstrip())
            yield Conversion(place, rollout, tuple(notes))


def _manifests(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """What a document holds, each with its path within it."""
    waiting: list[tuple[str, object]] = [("", document)]
    seen: set[int] = set()  # a YAML alias may put a list into itself
    while waiting:
        path, one = waiting.pop(0)
        items = one.get("items") if isinstance(one, Mapping) else None
        if not isinstance(one, Mapping) or not isinstance(items, list) or not str(one.get("kind")).endswith("List"):
            yield path, one
        elif id(items) not in seen:
            seen.add(id(items))
            waiting[:0] = [(f"{path}.items[{index}]".removeprefix("."), item) for index, item in enumerate(items)]


def _convert(path: str, document: object) -> tuple[dict[str, Any] | None, Sequence[Note]]:
    """One manifest. Notes begin with its path."""
    if not isinstance(document, Mapping):
        return None, [Note(path, Kind.PASSED_OVER, f"is no manifest but a {type(document).__name__}")]
    api_version, kind = document.get("apiVersion"), document.get("kind")
    group, _, version = str(api_version).partition("/")
    source = next((one for one in SOURCES if kind == one.kind and group in one.groups), None)
    if source is None:
        return None, [Note(path, Kind.PASSED_OVER, f"is a {_shown(kind)} of {_shown(api_version)}, {_NOT_READ}")]
    notes: list[Note] = []
    fields = Fields(document, path, notes)
    fields.skip("kind", "status")
    try:
        if fields.text("apiVersion") and version != source.version:
            raise NotConvertible(fields.place("apiVersion"), f"is {version}; {source.version} is read", "upgrade it")
        converted = source.convert(fields)
    except NotConvertible as error:
        return None, [*notes, error.note]
    fields.finish({})
    rollout = {"apiVersion": API_VERSION, "kind": KIND, **converted}
    return rollout, [*notes, *_refused(rollout)]


def _refused(rollout: Mapping[str, object]) -> Iterator[Note]:
    """What `lint` says about the rollout."""
    try:
        parse_manifest(rollout)
    except InvalidManifest as error:
        for problem in error.problems:
            yield Note(problem.field, Kind.UNSUPPORTED, problem.reason, "`tidegate lint` says the same")


def _shown(value: object) -> str:
    """A short text for messages, whatever somebody wrote there."""
    return value[:60] if isinstance(value, str) else type(value).__name__
