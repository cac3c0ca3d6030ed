"""Other projects' manifests, converted as the command line does it."""

import io
from collections.abc import Mapping
from typing import Any

import yaml

from operators.api import ModelRollout, parse_manifest
from operators.convert import Conversion, Kind, convert
from operators.manifests import STDIN, read


def converted(text: str) -> list[Conversion]:
    """What comes of YAML."""
    reading = read([STDIN], io.StringIO(text))
    assert reading.problems == ()
    return list(convert((document.place, document.content) for document in reading.documents))


def one(manifest: Mapping[str, Any]) -> Conversion:
    """What comes of one manifest."""
    (found,) = converted(yaml.safe_dump(dict(manifest)))
    return found


def spec(conversion: Conversion) -> dict[str, Any]:
    """The spec of a rollout."""
    assert conversion.rollout is not None, conversion.notes
    found: dict[str, Any] = conversion.rollout["spec"]
    return found


def notes(conversion: Conversion) -> dict[str, Kind]:
    """What became of each field that is told about."""
    return {note.field: note.kind for note in conversion.notes}


def loaded(conversion: Conversion) -> ModelRollout:
    """The rollout, written as YAML and read as any manifest is, with nothing said about it."""
    assert conversion.rollout is not None, conversion.notes
    reading = read([STDIN], io.StringIO(yaml.safe_dump(conversion.rollout)))
    (document,) = reading.documents
    assert document.content == conversion.rollout
    return parse_manifest(document.content)
