"""What an API server's webhook does for a manifest: completes it, validates it, checks what only this machine can.

A model may be named by a path: `./models/iris.joblib` (also `file://./models/iris.joblib`) starts at the folder of the
manifest, or at the working folder for one from standard input. Files can change under the same name, so the SHA-256 of
what is there now is written beside the spec: other bytes are another version, and replicas refuse to load anything
else.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from operators.api import InvalidManifest, Problem, parse_manifest, resolved_sha256
from operators.api.types import Model
from operators.manifests import Document
from operators.stored import Admitted
from serving.artifacts import digest


def admit(document: Document, needed: bool = True) -> Admitted:
    """Complete and check one manifest. Raises `InvalidManifest` with all its problems.

    `needed`: the models must be there.
    """
    content = _with_absolute_uris(document)
    rollout = parse_manifest(content)
    spec, resolved, problems = rollout.spec, dict[str, str](), list[Problem]()
    variants = [(f"spec.variants[{index}].model", one.name, one.model) for index, one in enumerate(spec.variants)]
    for field, variant, model in (("spec.model", None, spec.model), *variants):
        try:
            found = _digest(field, model, needed)
        except InvalidManifest as error:
            problems += error.problems
        else:
            resolved |= {resolved_sha256(variant): found} if found is not None else {}
    if problems:
        raise InvalidManifest(problems)
    annotations = {**rollout.metadata.annotations, **resolved}
    metadata = rollout.metadata.model_copy(update={"annotations": annotations})
    return Admitted(document.place, content, rollout.model_copy(update={"metadata": metadata}), resolved)


def _with_absolute_uris(document: Document) -> dict[str, object]:
    content = dict(document.content)
    given = content.get("spec")
    if isinstance(given, Mapping):
        spec = _with_absolute_uri(given, document.folder)
        variants = spec.get("variants")
        if isinstance(variants, list):
            spec["variants"] = [
                _with_absolute_uri(variant, document.folder) if isinstance(variant, Mapping) else variant
                for variant in variants
            ]
        content["spec"] = spec
    return content


def _with_absolute_uri(block: Mapping[str, object], folder: Path) -> dict[str, object]:
    """The spec, or a variant, with the URI of its model made absolute."""
    model = block.get("model")
    uri = model.get("uri") if isinstance(model, Mapping) else None
    if isinstance(model, Mapping) and isinstance(uri, str):
        path = uri.removeprefix("file://")
        if path.startswith(("./", "../")) or (path == uri and path.startswith("/")):
            return {**block, "model": {**model, "uri": (folder / path).resolve().as_uri()}}
    return dict(block)


def _digest(field: str, model: Model, needed: bool) -> str | None:
    """The SHA-256 of what the model's URI names now; None for one elsewhere, or that may be absent and is."""
    if not model.uri.startswith("file:"):
        return None
    path = Path(unquote(urlsplit(model.uri).path))
    try:
        if not path.exists():
            if not needed:
                return None
            raise InvalidManifest((Problem(f"{field}.uri", f"there is nothing at {path}"),))
        found = digest(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise InvalidManifest((Problem(f"{field}.uri", f"{path} cannot be read: {error}"),)) from error
    if model.sha256 is not None and model.sha256 != found:
        reason = f"{path} has the SHA-256 {found}, not this one: the file is not the one that was meant"
        raise InvalidManifest((Problem(f"{field}.sha256", reason),))
    return found
