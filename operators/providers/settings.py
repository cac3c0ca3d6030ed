"""What the operator's environment says about those who keep figures."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from yarl import URL

from router.pod.environment import BadEnvironment, Environment

URL_VARIABLE: Final = "TIDEGATE_PROMETHEUS_URL"
TOKEN_FILE_VARIABLE: Final = "TIDEGATE_PROMETHEUS_TOKEN_FILE"  # noqa: S105 - the name of a variable
HOSTS_VARIABLE: Final = "TIDEGATE_WEB_METRIC_HOSTS"
_PATTERN: Final = re.compile(r"\*|(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """Where Prometheus answers, None for nowhere; its token; which hosts may be asked for documents."""

    prometheus_url: str | None = None
    prometheus_token_file: Path | None = None
    web_hosts: tuple[str, ...] = ()

    @classmethod
    def read(cls, told: Environment, web_hosts: str = "") -> "ProviderSettings":
        """`web_hosts` are the hosts unless the environment names some. Raises `BadEnvironment`."""
        token = told.optional(TOKEN_FILE_VARIABLE, "")
        hosts = told.optional(HOSTS_VARIABLE, web_hosts).lower().split(",")
        return cls(
            prometheus_url=_prometheus(told.optional(URL_VARIABLE, "").strip()),
            prometheus_token_file=Path(token) if token else None,
            web_hosts=tuple(sorted({_host(host.strip()) for host in hosts if host.strip()})),
        )


def _prometheus(text: str) -> str | None:
    if not text:
        return None
    try:
        url = URL(text)
        good = url.scheme in ("http", "https") and url.host and not url.user and not url.password
    except ValueError:
        good = False
    if not good or "?" in text or "#" in text:
        raise BadEnvironment(f"{URL_VARIABLE} must be http(s)://HOST:PORT, with a path if need be and nothing else")
    return text


def _host(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        if not _PATTERN.fullmatch(text):
            raise BadEnvironment(
                f"{HOSTS_VARIABLE} has {text!r}; names of hosts, *.ENDING or * are expected, separated by commas"
            ) from None
        return text
