"""Whether and where records are sent: from the environment of the replicas' process."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from serving.errors import ServerStartError

URL_VARIABLE: Final = "TIDEGATE_RECORDS_URL"
"""Where the monitor is, as in `http://127.0.0.1:8090`. Without it no records are kept."""
TOKEN_FILE_VARIABLE: Final = "TIDEGATE_RECORDS_TOKEN_FILE"  # noqa: S105 - the name of a variable
"""A file with the bearer token that the monitor asks for; read again for every batch, so that it may be exchanged."""
RATE_VARIABLE: Final = "TIDEGATE_RECORDS_RATE"
"""Of how many requests in a second the record has inputs and outputs."""
SAMPLE_VARIABLE: Final = "TIDEGATE_RECORDS_SAMPLE"
"""Of how many percent of the requests the record has inputs and outputs, however many they are."""

ALL: Final = 10_000
"""Every request, in basis points."""
RATE: Final = 500.0
"""The rate that is not set: two thousand requests of a usual A/B test in a few seconds still have all their values."""


class BadRecordsConfig(ServerStartError):
    """A variable about records cannot be understood."""


@dataclass(frozen=True, slots=True)
class RecordsConfig:
    """How records are kept and sent.

    `url` is the monitor's, with nothing after the port or a path that it is mounted at. `rate` is the number of
    requests in a second, as a mean over `rate_seconds`, whose record has inputs and outputs; or `sample` is their
    share, in basis points, whatever the rate. Of these, `max_rows` rows are kept. At most `max_records` of together
    `max_bytes` wait; what comes then is dropped. Records are written in blocks: as soon as there are `block_records`
    with values or `plain_records` without, or requests and answers with values have `block_bytes`, or after
    `block_seconds`. A batch ends with the block that brings it to `batch_records` or `batch_bytes`; it is sent
    `batch_seconds` after its first block at the latest. The monitor may take `answer_seconds` to answer; after a
    failure the same batch is sent again, after pauses that grow from `first_pause` to `longest_pause` seconds.
    `close_seconds` are left for what waits when the server ends.
    """

    url: str
    token_file: Path | None = None
    sample: int | None = None
    rate: float = RATE
    rate_seconds: float = 10.0
    max_rows: int = 64
    max_records: int = 20_000
    max_bytes: int = 64 << 20
    block_records: int = 64
    plain_records: int = 256
    block_bytes: int = 256 << 10
    block_seconds: float = 0.05
    batch_records: int = 5_000
    batch_bytes: int = 2 << 20
    batch_seconds: float = 0.5
    answer_seconds: float = 5.0
    first_pause: float = 0.1
    longest_pause: float = 5.0
    close_seconds: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what nothing could be sent to."""
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number, a bracket that is not closed
            usable = False
        if not (usable and self.url.isascii() and self.url.isprintable() and " " not in self.url):
            raise BadRecordsConfig(f"{URL_VARIABLE} must be like http://monitor:8090, not {self.url!r}")
        if parts.username is not None or parts.query or parts.fragment:
            raise BadRecordsConfig(f"{URL_VARIABLE} must have no user, query or fragment; see {TOKEN_FILE_VARIABLE}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "RecordsConfig | None":
        """What the variables say; None without the URL. Raises `BadRecordsConfig`."""
        url = environment.get(URL_VARIABLE)
        if not url:
            return None
        token_file = environment.get(TOKEN_FILE_VARIABLE)
        sample = _number(environment, SAMPLE_VARIABLE, "a percentage from 0 to 100", 0, 100)
        rate = _number(environment, RATE_VARIABLE, "a number of requests in a second, from 0.001 on", 1e-3, 1e9)
        return cls(
            url,
            Path(token_file) if token_file else None,
            None if sample is None else round(sample * 100),
            RATE if rate is None else rate,
        )


def _number(environment: Mapping[str, str], name: str, meaning: str, least: float, most: float) -> float | None:
    """What a variable says; None when it is not set. Raises `BadRecordsConfig`."""
    text = environment.get(name)
    if not text:
        return None
    try:
        number = float(text)
        if not least <= number <= most:
            raise ValueError
    except ValueError:
        raise BadRecordsConfig(f"{name} must be {meaning}, not {text!r}") from None
    return number
