"""What it means when the API server refuses something, in sentences with a next command.

Its answers are a `Status`: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from operators.api import InvalidManifest, Problem
from operators.cli.errors import CliError
from operators.ports import StoreUnavailable

INSTALL: Final = "install it: helm install tidegate charts/tidegate -n tidegate --create-namespace"

_DENIED: Final = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)" '
    r'(?:in the namespace "(?P<namespace>[^"]*)"|at the cluster scope)'
)
"""How RBAC says no."""


class Absent(CliError):
    """There is no such object."""


def refusal(status: int, body: str, server: str) -> Exception:
    """The error for an answer with this HTTP status."""
    answer = _json(body)
    message, details = str(answer.get("message") or body.strip()), answer.get("details") or {}
    causes = details.get("causes") or []
    match status:
        case 401:
            return CliError(f"{server} does not accept your credentials", "log in again, then: kubectl auth whoami")
        case 403 if (denied := _DENIED.search(message)) is not None:
            return _denied(**denied.groupdict())
        case 404 if not answer:
            return CliError(f"Tidegate is not installed in the cluster {server}", INSTALL)
        case 404 if details.get("kind") == "namespaces":
            name = details.get("name")
            return CliError(f"there is no namespace {name}", f"make it: kubectl create namespace {name}")
        case 404:
            return Absent(message)
        case 409 if causes:
            return InvalidManifest([*_conflicts(causes)])
        case 422 if causes:
            return InvalidManifest([Problem(cause.get("field", ""), cause.get("message", "")) for cause in causes])
        case 429 | 500 | 502 | 503 | 504:
            return StoreUnavailable(f"the cluster {server} cannot do this now (HTTP {status}): {message}; try again")
    return CliError(f"the cluster {server} refuses this (HTTP {status}): {message}")


def _denied(user: str, verb: str, resource: str, group: str, namespace: str | None) -> CliError:
    full = f"{resource}.{group}" if group else resource
    place, option = (f"namespace {namespace}", f"-n {namespace}") if namespace else ("all namespaces", "-A")
    return CliError(
        f"{user} may not {verb} {full} in {place}",
        f"whoever administers the cluster can give you a Role with the verb {verb} for {full}; "
        f"to check: kubectl auth can-i {verb} {full} {option}",
    )


def _conflicts(causes: Sequence[Mapping[str, str]]) -> Iterator[Problem]:
    """Fields that server-side apply leaves to those who set them."""
    for cause in causes:
        field = cause.get("field", "").removeprefix(".")
        yield Problem(field, f"{cause.get('message')}; take it over with --force-conflicts, or leave it out")


def _json(body: str) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
