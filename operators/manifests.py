"""Reads manifests from files, folders and standard input: YAML text to plain dictionaries, with a place for each.

Whether a manifest makes sense is `operators.api`'s business; here a problem is one of the text.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import yaml

STDIN = Path("-")
"""Stands for standard input among the paths."""

_SUFFIXES = {".yaml", ".yml"}


@dataclass(frozen=True, slots=True)
class Document:
    """One manifest as it was written. Relative paths in it are meant to start at `folder`; `place` is for messages."""

    place: str
    folder: Path
    content: dict[str, object]


@dataclass(frozen=True, slots=True)
class Reading:
    """All manifests that could be read, and a sentence for each that could not."""

    documents: tuple[Document, ...]
    problems: tuple[str, ...]


def read(paths: Sequence[Path], stdin: TextIO) -> Reading:
    """Read the manifests in `paths`: files, folders (their `*.yaml` and `*.yml`, sorted), `-` for `stdin`."""
    documents: list[Document] = []
    problems: list[str] = []
    for path in paths:
        if path == STDIN:
            _read_text("standard input", Path.cwd(), stdin.read(), documents, problems)
        elif path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
            if not files:
                problems.append(f"{path}: the folder holds no *.yaml file")
            for file in files:
                _read_file(file, documents, problems)
        else:
            _read_file(path, documents, problems)
    return Reading(tuple(documents), tuple(problems))


def _read_file(path: Path, documents: list[Document], problems: list[str]) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problems.append(f"{path}: no such file or folder")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8 text (byte {error.start}), so not a manifest")
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    else:
        _read_text(str(path), path.parent.absolute(), text, documents, problems)


def _read_text(name: str, folder: Path, text: str, documents: list[Document], problems: list[str]) -> None:
    found = 0
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            line = node.start_mark.line + 1
            content = _construct(node)
            if content is None:
                continue  # nothing between two `---`
            found += 1
            if isinstance(content, dict):
                documents.append(Document(f"{name}:{line}", folder, content))
            else:
                problems.append(f"{name}:{line}: a manifest is a mapping of fields, this is a {type(content).__name__}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        problems.append(f"{where}: not valid YAML: {error.problem or error}")
    except yaml.YAMLError as error:
        problems.append(f"{name}: not valid YAML: {' '.join(str(error).split())}")
    except ValueError:  # Python reads no decimal number of more than 4300 digits
        problems.append(f"{name}: holds a number that is too long to be read")
    except RecursionError:
        problems.append(f"{name}: is nested too deeply to be read")
    else:
        if not found:
            problems.append(f"{name}: holds no manifest")


def _construct(node: yaml.Node) -> object:
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """YAML as JSON could say it: a key twice is an error, and a date stays the text it was written as."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way to configure a loader
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        for key in _repeated(node):
            raise yaml.constructor.ConstructorError(
                "while reading a mapping", node.start_mark, f"the field {key.value!r} stands twice", key.start_mark
            )
        return super().construct_mapping(node, deep)


def _repeated(node: yaml.MappingNode) -> Iterator[yaml.ScalarNode]:
    """Keys that stood in the mapping before. Merge keys (`<<`) are no fields."""
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in seen:
                yield key
            seen.add(key.value)
