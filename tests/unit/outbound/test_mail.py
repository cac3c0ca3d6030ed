"""Mail goes to a real SMTP server, in the clear or by TLS, with a login or without."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from outboundkit import event

from monitor.event import Event
from monitor.outbound import mail
from monitor.outbound.channels import Email
from monitor.outbound.message import NotDelivered, compose

NOW = 1_790_000_000.0


class Mailbox:
    """Takes mails, but for recipients at `refused.example`."""

    def __init__(self) -> None:
        self.got: list[tuple[Session, Envelope]] = []

    async def handle_RCPT(  # noqa: N802 - its name in aiosmtpd
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.endswith("@refused.example"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.got.append((session, envelope))
        return "250 OK"

    def mail(self) -> EmailMessage:
        """The only mail."""
        ((_, envelope),) = self.got
        assert isinstance(envelope.content, bytes)
        parsed = message_from_bytes(envelope.content, policy=default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@asynccontextmanager
async def serving(mailbox: Mailbox, ssl_context: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    """The port of a server on 127.0.0.1; it speaks TLS from the start with `ssl_context`."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(mailbox, loop=loop, hostname="localhost", **options), "127.0.0.1", 0, ssl=ssl_context
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """A certificate authority, with its certificate in `ca.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "user").write_text("tidegate")
    (tmp_path / "password").write_text("hush-hush")
    return authority


def tls(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def channel(port: int, **more: Any) -> Email:
    values = {
        "name": "mail",
        "kind": "email",
        "host": "localhost",
        "port": port,
        "tls": "none",
        "from": "tidegate@example.com",
        "to": ["oncall@example.com"],
    }
    return Email.model_validate(values | more)


async def send(to: Email, *events: Event) -> None:
    async with asyncio.timeout(30):
        await mail.send(to, compose("mail", events or [event("a")]), NOW)


async def test_a_mail_says_what_happened_in_utf_8(mailbox: Mailbox) -> None:
    async with serving(mailbox) as port:
        told = event("a", title="Größe drifted", message="PSI 0,3 ≥ 0,2 — „Größe“\nsecond line")
        await send(channel(port, to=["oncall@example.com", "data@example.com"]), told)
    got = mailbox.mail()
    assert got["subject"] == "[warning] default/iris: Größe drifted"
    assert (got["from"], got["to"]) == ("tidegate@example.com", "oncall@example.com, data@example.com")
    assert got["auto-submitted"] == "auto-generated"
    assert got["date"].datetime.timestamp() == NOW
    assert got["message-id"] == f"<{got['tidegate-delivery']}@example.com>"
    assert got.get_content().splitlines() == ["PSI 0,3 ≥ 0,2 — „Größe“", "second line"]
    assert mailbox.got[0][1].rcpt_tos == ["oncall@example.com", "data@example.com"]


async def test_no_event_puts_a_header_into_a_mail(mailbox: Mailbox) -> None:
    async with serving(mailbox) as port:
        evil = "\r\nBcc: thief@example.com\r\n\r\nbody"
        told = event("a").model_copy(update={"title": f"x{evil}", "message": f"y\r\n.\r\nMAIL FROM:<a@b>{evil}"})
        assert event("b", title=f"x{evil}").title == "x Bcc: thief@example.com body"
        with pytest.raises(NotDelivered, match="did not take it"):
            await send(channel(port), told)  # as it would be if nobody had looked at it when it came
        await send(channel(port), event("a", title=f"x{evil}", message=told.message))
    got = mailbox.mail()
    assert got["bcc"] is None
    assert mailbox.got[0][1].rcpt_tos == ["oncall@example.com"]
    assert "MAIL FROM:<a@b>" in got.get_content()


async def test_many_events_are_one_mail(mailbox: Mailbox) -> None:
    async with serving(mailbox) as port:
        await send(channel(port), *(event(str(n), severity="info") for n in range(3)))
    assert mailbox.mail()["subject"] == "[info] 3 events: 3 rollout"
    assert mailbox.mail().get_content().splitlines() == [f"default/iris: Aborted: {n}" for n in range(3)]


@pytest.mark.parametrize("kind", ["starttls", "tls"])
async def test_a_login_goes_by_tls_to_a_server_that_is_trusted(
    mailbox: Mailbox, authority: trustme.CA, tmp_path: Path, kind: str
) -> None:
    logins = []

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"hush-hush", handled=False)

    context = tls(authority)
    ways = {"starttls": {"tls_context": context, "require_starttls": True}, "tls": {"ssl_context": context}}
    more = {"auth_require_tls": kind == "starttls", "authenticator": authenticate}
    files = {name: tmp_path / place for name, place in (("userFile", "user"), ("passwordFile", "password"))}
    async with serving(mailbox, **ways[kind], **more) as port:
        to = channel(port, tls=kind, caFile=tmp_path / "ca.pem", **files)
        await send(to)
        (tmp_path / "password").write_text("hush-wrong")
        with pytest.raises(NotDelivered, match=r"did not take it: .*535") as caught:
            await send(to)
    assert logins[0] == (b"tidegate", b"hush-hush")
    assert set(logins[1:]) == {(b"tidegate", b"hush-wrong")}  # once for each mechanism that the server offers
    assert "hush" not in str(caught.value)
    assert len(mailbox.got) == 1


@pytest.mark.parametrize("kind", ["starttls", "tls"])
async def test_nothing_is_said_to_a_server_that_is_not_trusted(
    mailbox: Mailbox, authority: trustme.CA, tmp_path: Path, kind: str
) -> None:
    for context, trusted in [(tls(authority), None), (tls(authority, "elsewhere.example"), tmp_path / "ca.pem")]:
        ways = {"starttls": {"tls_context": context}, "tls": {"ssl_context": context}}
        async with serving(mailbox, **ways[kind]) as port:
            with pytest.raises(NotDelivered, match="did not take it: "):
                await send(channel(port, tls=kind, caFile=trusted))
    assert mailbox.got == []


async def test_nothing_goes_in_the_clear_when_the_server_has_no_starttls(mailbox: Mailbox) -> None:
    async with serving(mailbox) as port:
        with pytest.raises(NotDelivered, match="STARTTLS"):
            await send(channel(port, tls="starttls"))
    assert mailbox.got == []


async def test_a_mail_that_some_recipients_get_is_not_sent_again(
    mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(mailbox) as port:
        await send(channel(port, to=["oncall@example.com", "gone@refused.example"]))
        assert "channel mail: the mail server refused gone@refused.example" in caplog.text
        with pytest.raises(NotDelivered, match="550"):
            await send(channel(port, to=["gone@refused.example"]))
    assert len(mailbox.got) == 1


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(NotDelivered, match="did not take it: "):
        await send(channel(9))


async def test_a_login_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    files = {"userFile": tmp_path / "user", "passwordFile": tmp_path / "password"}
    with pytest.raises(NotDelivered, match="user cannot be read: No such file"):
        await send(channel(9, tls="starttls", **files))


async def test_a_server_that_says_nothing_is_waited_for_only_as_long_as_the_caller_wants() -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as silent:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await send(channel(silent.sockets[0].getsockname()[1]))
        assert time.monotonic() - began < 25
