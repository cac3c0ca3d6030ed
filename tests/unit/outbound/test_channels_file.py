"""The file that names the channels: what it means, and what is wrong with it."""

from pathlib import Path

import pytest

from monitor.event import KINDS, SEVERITIES
from monitor.outbound.channels import BadChannels, BadSecret, Email, Slack, Webhook, read_channels
from monitor.settings import BadEnvironment, Settings

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALL = """
channels:
  - name: ops
    kind: webhook
    urlFile: {folder}/url
    secretFile: {folder}/secret
    events: [drift, degradation]
    severities: [warning]
    namespaces: [shop]
    models: [iris, wine]
  - {{name: team, kind: slack, url: "https://hooks.example.com/T0/B0/x"}}
  - name: mail
    kind: email
    host: smtp.example.com
    userFile: {folder}/user
    passwordFile: {folder}/password
    from: tidegate@example.com
    to: [oncall@example.com, data@example.com]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    contents = {"url": "https://hush.example.com/hush\n", "secret": SECRET, "user": "me", "password": "hush-hush"}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "lines").write_text("https://hush.example.com/\nhush")
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "channels.yaml"
    path.write_text(text)
    return path


def test_every_kind_is_read_with_its_filters_and_secrets(folder: Path) -> None:
    ops, team, mail = read_channels(written(folder, ALL.format(folder=folder)))
    assert isinstance(ops, Webhook)
    assert ops.address() == "https://hush.example.com/hush"
    assert ops.secret() is not None
    assert (ops.events, ops.severities) == ({"drift", "degradation"}, {"warning"})
    assert (ops.namespaces, ops.models) == ({"shop"}, {"iris", "wine"})
    assert isinstance(team, Slack)
    assert (team.events, team.severities, team.namespaces, team.models) == (KINDS, SEVERITIES, None, None)
    assert isinstance(mail, Email)
    assert (mail.tls, mail.port, mail.login()) == ("starttls", None, ("me", "hush-hush"))


def test_no_channels_is_a_choice(folder: Path) -> None:
    assert read_channels(written(folder, "channels: []")) == []


def test_a_secret_is_read_each_time_so_that_it_may_be_exchanged(folder: Path) -> None:
    (ops, *_) = read_channels(written(folder, ALL.format(folder=folder)))
    assert isinstance(ops, Webhook)
    (folder / "url").write_text("http://new.example.com")
    assert ops.address() == "http://new.example.com"
    (folder / "url").unlink()
    with pytest.raises(BadSecret, match="cannot be read: No such file or directory"):
        ops.address()


HOOK = "channels: [{name: ops, kind: webhook, "
MAIL = "channels: [{name: mail, kind: email, host: h, from: a@b.c, to: [d@e.f], "


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Input should be a valid dictionary"),
        ("channels: [hush: hush: hush]", "is no YAML: there is a mistake in line 1"),
        ("channels: hush", "channels: Input should be a valid list"),
        ("chanels: []", "channels: Field required; chanels: Extra inputs are not permitted"),
        ("channels: [{name: a}]", "channels.0: Unable to extract tag using discriminator 'kind'"),
        ("channels: [{name: a, kind: pigeon}]", "channels.0: Input tag 'pigeon' found"),
        (HOOK + "url: 'http://h/', hush: 1}]", "channels.0.webhook.hush: Extra inputs are not permitted"),
        (HOOK + "}]", "channels.0.webhook: needs either url or urlFile"),
        (HOOK + "url: 'http://h/', urlFile: DIR/url}]", "needs either url or urlFile"),
        (HOOK + "url: 'ftp://hush/hush'}]", "url must be http:// or https:// and name a host"),
        (HOOK + "url: 'http://:80/'}]", "url must be http:// or https:// and name a host"),
        (HOOK + "url: 'http://h:port/'}]", "url must be http:// or https:// and name a host"),
        (HOOK + "url: 'http://h/', events: []}]", "events: "),
        (HOOK + "url: 'http://h/', events: [hush]}]", "events.0: "),
        (HOOK + "url: 'http://h/', severities: [fatal]}]", "severities.0: "),
        (HOOK + "urlFile: DIR/nowhere}]", "channel ops: DIR/nowhere cannot be read: No such file or directory"),
        (HOOK + "urlFile: DIR/empty}]", "channel ops: DIR/empty is empty"),
        (HOOK + "urlFile: DIR/binary}]", "channel ops: DIR/binary cannot be read: it is not UTF-8"),
        (HOOK + "urlFile: DIR/lines}]", "channel ops: DIR/lines must hold one line of text"),
        (HOOK + "urlFile: DIR/password}]", "channel ops: DIR/password does not hold an http:// or https:// URL"),
        (HOOK + "url: 'http://h/', secretFile: DIR/password}]", "DIR/password must hold whsec_ and 24 to 64 random"),
        (HOOK + "url: 'http://h/', caFile: DIR/nowhere}]", "caFile DIR/nowhere cannot be used: No such file"),
        (HOOK + "url: 'http://h/', caFile: DIR/password}]", "caFile DIR/password cannot be used: "),
        (HOOK.replace("ops", "O p s") + "url: 'http://h/'}]", "channels.0.webhook.name: "),
        (
            "channels: [{name: a, kind: slack, url: 'http://h'}, {name: a, kind: slack, url: 'http://h'}]",
            "two channels",
        ),
        (MAIL + "tls: none, userFile: DIR/user, passwordFile: DIR/password}]", "everybody on the way could read"),
        (MAIL + "userFile: DIR/user}]", "userFile and passwordFile belong together"),
        (MAIL + "port: 0}]", "channels.0.email.port: "),
        (MAIL.replace("a@b.c", '"a@b.c\\r\\nBcc: hush@x.y"') + "}]", "from: must be an address such as"),
        (MAIL.replace("d@e.f", "'Me <d@e.f>'") + "}]", "to.0: must be an address such as"),
        (MAIL.replace("[d@e.f]", "[]") + "}]", "channels.0.email.to: "),
        (MAIL.replace("host: h", "host: ''") + "}]", "channels.0.email.host: "),
    ],
)
def test_what_is_wrong_is_said_without_secrets(folder: Path, text: str, reason: str) -> None:
    path = written(folder, text.replace("DIR", str(folder)))
    with pytest.raises(BadChannels) as caught:
        read_channels(path)
    assert reason.replace("DIR", str(folder)) in str(caught.value)
    assert "hush" not in str(caught.value).replace(".hush:", "")


def test_the_monitor_does_not_start_with_a_file_that_makes_no_sense(folder: Path) -> None:
    environ = {"TIDEGATE_MONITOR_NOTIFICATIONS": str(folder / "nowhere")}
    with pytest.raises(
        BadEnvironment, match=r"^TIDEGATE_MONITOR_NOTIFICATIONS names .*, which cannot be read: No such"
    ):
        Settings.read(environ)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("URL", "hush://hush", "CLOUDEVENTS_URL must be http:// or https:// and name a host"),
        ("MODE", "both", "CLOUDEVENTS_MODE is 'both'; it must be batch or single"),
        ("TOKEN_FILE", "/nowhere/token", "CLOUDEVENTS_TOKEN_FILE names /nowhere/token, which cannot be read"),
    ],
)
def test_a_sink_that_makes_no_sense_is_named(name: str, value: str, reason: str) -> None:
    prefix = "TIDEGATE_MONITOR_CLOUDEVENTS_"
    with pytest.raises(BadEnvironment) as caught:
        Settings.read({f"{prefix}URL": "http://sink", f"{prefix}{name}": value})
    assert reason in str(caught.value)
    assert "hush" not in str(caught.value)


def test_settings_and_channels_in_a_log_show_no_secret(folder: Path) -> None:
    path = written(folder, "channels: [{name: a, kind: slack, url: 'http://h/hush'}]")
    environ = {
        "TIDEGATE_MONITOR_NOTIFICATIONS": str(path),
        "TIDEGATE_MONITOR_CLOUDEVENTS_URL": "http://sink/hush",
        "TIDEGATE_HOME": str(folder),
    }
    settings = Settings.read(environ)
    assert settings.sink is not None
    assert "hush" not in repr(settings) + repr(settings.channels)
