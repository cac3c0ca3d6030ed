"""What a model's URI may look like: the same words for the manifest, the API server and the replica. Pure."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

_CHARACTER: Final = "[!$-.0->@-Z^-~]"
"""Printable ASCII but space, quotation mark, `#`, `/`, `?`, brackets and backslash: an expression for CEL as well."""
_NO_DOT: Final = "[!$-,0->@-Z^-~-]"
_SEGMENT: Final = f"({_NO_DOT}{_CHARACTER}*|[.]{_NO_DOT}{_CHARACTER}*|[.][.]{_CHARACTER}+)"
"""Of a path: anything but `.` and `..`."""
_PATH: Final = f"(/{_SEGMENT})+/?"
_HOST: Final = "[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?"
_NAME: Final = "[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_MODEL: Final = "[!$-.0-9;->A-Z^-~]+"


@dataclass(frozen=True, slots=True)
class Form:
    """What URIs of one scheme look like: an expression that all of it matches (RE2), and the words for people."""

    expression: str
    words: str


FORMS: Final = {
    "file": Form("file:///(?s:.+)", "file:///ABSOLUTE/PATH"),
    "pvc": Form(f"pvc://[a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?{_PATH}", "pvc://CLAIM/PATH"),
    "https": Form(f"https://{_HOST}{_PATH}", "https://HOST/PATH"),
    "http": Form(f"http://{_HOST}{_PATH}", "http://HOST/PATH"),
    "s3": Form(f"s3://{_NAME}{_PATH}", "s3://BUCKET/KEY"),
    "gs": Form(f"gs://{_NAME}{_PATH}", "gs://BUCKET/KEY"),
    "az": Form(f"az://{_NAME}{_PATH}", "az://CONTAINER/PATH"),
    "abfs": Form(
        f"abfs://{_NAME}@[a-z0-9]{{3,24}}[.](dfs|blob)[.]core[.]windows[.]net{_PATH}",
        "abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH",
    ),
    "models": Form(f"models:/{_MODEL}(/[1-9][0-9]{{0,17}}|@{_MODEL})", "models:/NAME/VERSION or models:/NAME@ALIAS"),
}
"""Every scheme, with its form."""
CHAINED: Final = "is a chain of URLs (::): name the model's own file or folder"
CREDENTIALS: Final = "holds a credential (…@): credentials come from the environment of the replicas"
QUERY: Final = "has a query or a fragment (? or #), which may hold a credential: name the file without it"
UNKNOWN: Final = f"must begin with one of {', '.join(f'{scheme}:' for scheme in FORMS)}"
MOVING: Final = "names an alias, which may move to another version: write its sha256 as well, or models:/NAME/VERSION"


class BadUri(ValueError):
    """What is wrong with a URI, as the end of a sentence that begins with it."""


@dataclass(frozen=True, slots=True)
class Location:
    """A URI in its parts.

    `authority` is the host with its port, the bucket, the container or the claim; empty for `file` and `models`. `path`
    is what follows it, without the slash and as it was written; for `file` with it, and decoded.
    """

    scheme: str
    authority: str
    path: str

    @property
    def name(self) -> str:
        """What the model's file or folder is called. Never empty, `.` or `..`, and without a slash or a NUL."""
        name = re.split("[/@]", self.path)[0] if self.scheme == "models" else self._last
        return "model" if name in ("", ".", "..") or "\0" in name else name

    @property
    def _last(self) -> str:
        last = self.path.rstrip("/").rpartition("/")[2]
        decoded = unquote(last) if self.scheme in ("http", "https", "pvc") else last
        return last if not decoded.isprintable() or "/" in decoded or decoded in ("", ".", "..") else decoded


def parse(uri: str) -> Location:
    """The parts of a URI. Raises `BadUri`."""
    scheme = uri.partition(":")[0]
    if scheme not in FORMS:
        raise BadUri(UNKNOWN)
    if scheme != "file":
        _refuse_tricks(uri, scheme)
    form = FORMS[scheme]
    if re.fullmatch(form.expression, uri) is None:
        raise BadUri(f"must look like {form.words}")
    if scheme == "file":
        return Location(scheme, "", unquote(re.split("[?#]", uri.removeprefix("file://"))[0]))
    if scheme == "models":
        return Location(scheme, "", uri.removeprefix("models:/"))
    authority, _, path = uri.removeprefix(f"{scheme}://").partition("/")
    return Location(scheme, authority, path)


def moves(uri: str) -> bool:
    """Whether the URI names an alias, which somebody may move to another version."""
    return uri.startswith("models:/") and "@" in uri


def _refuse_tricks(uri: str, scheme: str) -> None:
    if "::" in uri:
        raise BadUri(CHAINED)
    authority = uri.partition("://")[2].partition("/")[0]
    if "@" in authority and (scheme != "abfs" or ":" in authority):
        raise BadUri(CREDENTIALS)
    if "?" in uri or "#" in uri:
        raise BadUri(QUERY)
