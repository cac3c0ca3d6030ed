"""What docs/notifications.md shows is what the monitor takes and sends."""

import json
import re
from pathlib import Path

import pytest
from outboundkit import event

from monitor.outbound import channels as module
from monitor.outbound.channels import Channel, read_channels
from monitor.outbound.hooks import webhook_post
from monitor.outbound.message import compose

PAGE = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text()
SECRETS = {"webhook-secret": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "slack-url": "https://hooks.example.com/x"}


def block(language: str) -> str:
    """The only block of that language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def channels(tmp_path: Path) -> list[Channel]:
    """Those of the page, with secrets in a folder that exists."""
    text = block("yaml").replace("/etc/tidegate/notifications", str(tmp_path))
    for name in re.findall(rf"{tmp_path}/(\S+)", text):
        (tmp_path / name).write_text(SECRETS.get(name, "word"))
    (tmp_path / "channels.yaml").write_text(text)
    return list(read_channels(tmp_path / "channels.yaml"))


def test_the_file_on_the_page_can_be_used(channels: list[Channel]) -> None:
    assert [channel.kind for channel in channels] == ["webhook", "slack", "email"]


def test_every_field_of_a_channel_is_on_the_page_and_no_other() -> None:
    kinds = (module.Webhook, module.Slack, module.Email)
    known = {field.alias or name for kind in kinds for name, field in kind.model_fields.items()}
    table = PAGE[PAGE.index("| field | of |") : PAGE.index("Secrets are in files")]
    rows = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)[2:]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == known


def test_a_message_has_the_fields_on_the_page() -> None:
    shown = json.loads(block("json"))
    sent = json.loads(webhook_post(compose("ops", [event("a")]), None, 0).body)
    assert sent.keys() == shown.keys()
    assert sent["events"][0].keys() == shown["events"][0].keys()
