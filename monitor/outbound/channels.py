"""The file that names the channels by which people hear of events. Secrets are in files of their own, by path.

A secret is read each time that it is needed, so that it may be exchanged, and no error repeats it.
"""

import binascii
import ssl
from base64 import b64decode
from collections.abc import Sequence
from email.errors import MessageError
from email.headerregistry import Address
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from monitor.event import KINDS, SEVERITIES, Event, Kind, Severity

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what a secret begins with
_SECRET_BYTES: Final = (24, 64)
_NAMED: Final = 3
"""Problems that one message names."""


class BadChannels(Exception):
    """The file makes no sense; the message says where, and repeats no secret."""


class BadSecret(Exception):
    """A file that should hold a secret cannot be used; the message names it, and not what is in it."""


class _Channel(BaseModel):
    """What all have: a name, and which events they are for. Nothing said about namespaces and models: all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    events: frozenset[Kind] = Field(default=KINDS, min_length=1)
    severities: frozenset[Severity] = Field(default=SEVERITIES, min_length=1)
    namespaces: frozenset[str] | None = Field(default=None, min_length=1)
    models: frozenset[str] | None = Field(default=None, min_length=1)
    ca_file: Path | None = None
    """PEM certificates to trust instead of the system's."""

    def wants(self, event: Event) -> bool:
        """Whether people are to hear of the event this way."""
        return (
            event.kind in self.events
            and event.severity in self.severities
            and (self.namespaces is None or event.namespace in self.namespaces)
            and (self.models is None or event.model in self.models)
        )

    def trusted(self) -> ssl.SSLContext | None:
        """Whose certificates to accept, None for those that the system trusts. Raises `BadSecret`."""
        if self.ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=str(self.ca_file))
        except OSError as error:
            raise BadSecret(f"caFile {self.ca_file} cannot be used: {error.strerror or type(error).__name__}") from None

    def check(self) -> None:
        """Make sure that all files are there and hold what they should. Raises `BadSecret`."""
        self.trusted()


class _Hook(_Channel):
    """One that is reached by an HTTP POST. The URL stands in the file or, being a secret, in one of its own."""

    url: str | None = Field(default=None, repr=False)
    url_file: Path | None = None

    @model_validator(mode="after")
    def _one_url(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("needs either url or urlFile")
        if self.url is not None and not is_url(self.url):
            raise ValueError("url must be http:// or https:// and name a host")
        return self

    def address(self) -> str:
        """The URL. Raises `BadSecret`."""
        if self.url_file is None:
            return self.url or ""
        url = read_secret(self.url_file)
        if not is_url(url):
            raise BadSecret(f"{self.url_file} does not hold an http:// or https:// URL that names a host")
        return url

    def check(self) -> None:
        """See `_Channel`."""
        super().check()
        self.address()


class Webhook(_Hook):
    """A program that takes events as JSON, signed if there is a `secretFile`."""

    kind: Literal["webhook"]
    secret_file: Path | None = None

    def secret(self) -> bytes | None:
        """What the messages are signed with. Raises `BadSecret`."""
        return None if self.secret_file is None else signing_secret(self.secret_file)

    def check(self) -> None:
        """See `_Channel`."""
        super().check()
        self.secret()


class Slack(_Hook):
    """An incoming webhook of Slack, or of whatever takes the same."""

    kind: Literal["slack"]


def _mailbox(text: str) -> str:
    try:
        address = Address(addr_spec=text)
    except (MessageError, ValueError, IndexError) as error:
        raise ValueError("must be an address such as oncall@example.com") from error
    if not address.username or not address.domain or any(not letter.isprintable() for letter in text):
        raise ValueError("must be an address such as oncall@example.com")
    return text


_Mailbox = Annotated[str, AfterValidator(_mailbox)]


class Email(_Channel):
    """Mail by way of an SMTP server: with STARTTLS, with TLS from the start, or in the clear."""

    kind: Literal["email"]
    host: str = Field(min_length=1, pattern=r"^[!-~]+$")
    port: int | None = Field(default=None, ge=1, le=65_535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user_file: Path | None = None
    password_file: Path | None = None
    sender: _Mailbox = Field(alias="from")
    to: tuple[_Mailbox, ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _password_is_safe(self) -> Self:
        if (self.user_file is None) != (self.password_file is None):
            raise ValueError("userFile and passwordFile belong together")
        if self.password_file is not None and self.tls == "none":
            raise ValueError("with `tls: none` everybody on the way could read the password: use starttls or tls")
        return self

    def login(self) -> tuple[str, str] | None:
        """User and password. Raises `BadSecret`."""
        if self.user_file is None or self.password_file is None:
            return None
        return read_secret(self.user_file), read_secret(self.password_file)

    def check(self) -> None:
        """See `_Channel`."""
        super().check()
        self.login()


Channel = Webhook | Slack | Email


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    channels: list[Annotated[Channel, Field(discriminator="kind")]]


_FILE: Final = TypeAdapter(_File)


def read_channels(path: Path) -> Sequence[Channel]:
    """The channels that the file names, with all secrets in place. Raises `BadChannels`."""
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise BadChannels(f"cannot be read: {error.strerror or type(error).__name__}") from error
    except yaml.YAMLError as error:  # its text may repeat a line
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise BadChannels(f"is no YAML: there is a mistake{where}") from None
    except ValueError as error:
        raise BadChannels("is no YAML: it is not UTF-8") from error
    try:
        channels = _FILE.validate_python(content).channels
    except ValidationError as error:
        raise BadChannels(_told(error)) from None
    names = [channel.name for channel in channels]
    for name in names:
        if names.count(name) > 1:
            raise BadChannels(f"has two channels with the name {name}")
    for channel in channels:
        try:
            channel.check()
        except BadSecret as error:
            raise BadChannels(f"channel {channel.name}: {error}") from error
    return channels


def read_secret(path: Path) -> str:
    """What is in the file, without white space around it. Raises `BadSecret`."""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadSecret(f"{path} cannot be read: {reason}") from None
    if not text:
        raise BadSecret(f"{path} is empty: write the secret into it")
    if not text.isprintable():
        raise BadSecret(f"{path} must hold one line of text")
    return text


def signing_secret(path: Path) -> bytes:
    """A secret in the form of Standard Webhooks: `whsec_` and base64. Raises `BadSecret`."""
    text = read_secret(path)
    form = f"{path} must hold {SECRET_PREFIX} and 24 to 64 random bytes in base64: "
    form += f'write into it what `echo "{SECRET_PREFIX}$(openssl rand -base64 32)"` prints'
    try:
        secret = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise BadSecret(form) from None
    if not text.startswith(SECRET_PREFIX) or not _SECRET_BYTES[0] <= len(secret) <= _SECRET_BYTES[1]:
        raise BadSecret(form)
    return secret


def is_url(text: str) -> bool:
    """Whether it is a URL that can be posted to."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _told(error: ValidationError) -> str:
    """The first problems, each after the path to it."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    told = []
    for problem in problems[:_NAMED]:
        path = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        told.append(f"{path}: {message}" if path else message)
    more = len(problems) - _NAMED
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")
