"""Email: one mail for each message, in UTF-8, handed to an SMTP server."""

import asyncio
import logging
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

import aiosmtplib

from monitor.event import shortened
from monitor.outbound.channels import BadSecret, Email
from monitor.outbound.message import Message, NotDelivered

_LONGEST_REASON: Final = 200

log = logging.getLogger(__name__)


async def send(channel: Email, message: Message, now: float) -> None:
    """Return when the server has taken the mail, be it for some of the recipients. Raises `NotDelivered`."""
    try:
        user, password = await asyncio.to_thread(channel.login) or (None, None)
        trusted = await asyncio.to_thread(channel.trusted)
    except BadSecret as error:
        raise NotDelivered(str(error)) from error
    try:
        refused, _ = await aiosmtplib.send(
            mail(channel, message, now),
            hostname=channel.host,
            port=channel.port,
            username=user,
            password=password,
            use_tls=channel.tls == "tls",
            start_tls=channel.tls == "starttls",
            tls_context=trusted,
            timeout=None,  # whoever calls this waits no longer than it wants
        )
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise NotDelivered(f"the mail server did not take it: {_reason(error)}") from None
    if refused:  # another attempt would bring it to the others twice
        log.warning("channel %s: the mail server refused %s", channel.name, ", ".join(sorted(refused)))


def mail(channel: Email, message: Message, now: float) -> EmailMessage:
    """The mail. Its id is the delivery's, so that mail readers show one that came twice once.

    Titles are one line, and a header with a line break in it would be refused by `EmailMessage`.
    """
    domain = channel.sender.rpartition("@")[2]
    composed = EmailMessage(policy=SMTP)
    composed["From"] = channel.sender
    composed["To"] = ", ".join(channel.to)
    composed["Subject"] = f"[{'warning' if message.warning else 'info'}] {message.title}"
    composed["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    composed["Message-ID"] = f"<{message.delivery}@{domain}>"
    composed["Tidegate-Delivery"] = message.delivery
    composed["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is to be answered to it
    composed.set_content(f"{message.text or message.title}\n", charset="utf-8")
    return composed


def _reason(error: Exception) -> str:
    """The server's words or the library's, in one line."""
    return shortened(" ".join(str(error).split()), _LONGEST_REASON) or type(error).__name__
