"""Webhooks and Slack: an HTTP POST for each message.

A webhook is signed as Standard Webhooks has it (https://www.standardwebhooks.com, "Signature scheme"), so that
receivers may check it with a library. Slack takes `text` and `blocks`:
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

import asyncio
import hmac
import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, Final

import aiohttp
import orjson

from monitor.event import Event, shortened
from monitor.outbound.channels import BadSecret, Slack, Webhook
from monitor.outbound.message import Message, NotDelivered, Refused

DELIVERY_HEADER: Final = "tidegate-delivery"
_SLACK_HEADER: Final = 150
_SLACK_SECTION: Final = 3_000
"""Characters that Slack takes: https://docs.slack.dev/reference/block-kit/blocks"""


@dataclass(frozen=True, slots=True)
class Post:
    """What is sent: a JSON body, and headers beside its type."""

    body: bytes
    headers: Mapping[str, str]


def webhook_post(message: Message, secret: bytes | None, now: float) -> Post:
    """The message as JSON."""
    content = {
        "delivery": message.delivery,
        "title": message.title,
        "text": message.text,
        "events": [_json(event) for event in message.events],
    }
    body, time = orjson.dumps(content), str(int(now))
    headers = {DELIVERY_HEADER: message.delivery, "webhook-id": message.delivery, "webhook-timestamp": time}
    if secret is not None:
        signed = b".".join((message.delivery.encode(), time.encode(), body))
        headers["webhook-signature"] = f"v1,{b64encode(hmac.digest(secret, signed, sha256)).decode()}"
    return Post(body, headers)


def slack_post(message: Message) -> Post:
    """The message in blocks, and in plain text for where blocks are not shown."""
    mark = ":warning:" if message.warning else ":information_source:"
    title = {"type": "plain_text", "text": shortened(f"{mark} {message.title}", _SLACK_HEADER), "emoji": True}
    blocks: list[dict[str, Any]] = [{"type": "header", "text": title}]
    if message.text:
        text = _escaped(message.text, _SLACK_SECTION)
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": text}})
    plain = _escaped(f"{message.title}\n{message.text}".strip(), _SLACK_SECTION)
    return Post(orjson.dumps({"text": plain, "blocks": blocks}), {DELIVERY_HEADER: message.delivery})


class Hooks:
    """Sends messages by HTTP. `close` it in the end."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def send(self, channel: Webhook | Slack, message: Message, now: float) -> None:
        """Return when the receiver has taken the message. Raises `NotDelivered`."""
        try:
            url = await asyncio.to_thread(channel.address)
            if isinstance(channel, Webhook):
                post = webhook_post(message, await asyncio.to_thread(channel.secret), now)
            else:
                post = slack_post(message)
            trusted = await asyncio.to_thread(channel.trusted)
        except BadSecret as error:
            raise NotDelivered(str(error)) from error
        await self.post(url, post, trusted)

    async def post(
        self, url: str, post: Post, trusted: ssl.SSLContext | None = None, kind: str | None = "application/json"
    ) -> None:
        """Raises `NotDelivered` unless it is answered 2xx; redirects are not followed. A `kind` is the body's type."""
        if self._session is None:
            # Outside the cluster there may be a proxy in between, which the environment names.
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=True)
        headers = {**post.headers, "user-agent": "tidegate-monitor"} | ({"content-type": kind} if kind else {})
        try:
            async with self._session.post(
                url,
                data=post.body,
                headers=headers,
                allow_redirects=False,
                ssl=trusted or True,
                skip_auto_headers=["content-type"],
            ) as answer:
                status, said = answer.status, answer.headers.get("retry-after")
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise NotDelivered(f"the receiver cannot be reached: {_reason(error)}") from None
        if 300 <= status < 400:
            raise NotDelivered(f"the receiver answered {status}: redirects are not followed, give the final URL")
        if not 200 <= status < 300:
            raise Refused(status, _seconds(said))


def _json(event: Event) -> dict[str, Any]:
    time = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event.model_dump() | {"at": time}


def _escaped(text: str, longest: int) -> str:
    """As Slack wants it: https://docs.slack.dev/messaging/formatting-message-text#escaping"""
    whole = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return whole if len(whole) <= longest else _escaped(shortened(text, len(text) * longest // len(whole) - 1), longest)


def _reason(error: Exception) -> str:
    """What went wrong, without the URL: it may be a secret, and messages of the library repeat it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "its TLS certificate is not trusted: name the authority's in caFile"
    if isinstance(error, aiohttp.ClientConnectorError):
        known = error.os_error.errno
        said = os.strerror(known) if known is not None and known > 0 else error.os_error.strerror  # else one of DNS
        return said or type(error.os_error).__name__
    return type(error).__name__


def _seconds(said: str | None) -> float | None:
    """`Retry-After`: seconds or a date, RFC 9110, 10.2.3."""
    if said is None:
        return None
    if said.strip().isdecimal():
        return float(said)
    try:
        then = parsedate_to_datetime(said)
    except ValueError:
        return None
    return max((then - datetime.now(then.tzinfo)).total_seconds(), 0.0)
