"""What the monitor makes of its environment."""

from pathlib import Path

import pytest

from monitor.settings import BadEnvironment, Settings


def test_defaults_are_a_file_in_the_state_folder_on_loopback_for_30_days(tmp_path: Path) -> None:
    settings = Settings.read({"TIDEGATE_HOME": str(tmp_path)})
    assert settings.database.render_as_string() == f"sqlite+aiosqlite:///{tmp_path}/records.db"
    assert (settings.host, settings.port, settings.token) == ("127.0.0.1", 8090, None)
    assert settings.retention == 30 * 86_400
    assert (settings.spool, settings.spool_size) == (tmp_path / "spool", 2**30)


def test_the_environment_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    settings = Settings.read(
        {
            "TIDEGATE_MONITOR_DATABASE": "postgresql://me:word@db/records",
            "TIDEGATE_MONITOR_HOST": "0.0.0.0",
            "TIDEGATE_MONITOR_PORT": "8091",
            "TIDEGATE_MONITOR_TOKEN_FILE": str(tmp_path / "token"),
            "TIDEGATE_MONITOR_RETENTION": "12h",
            "TIDEGATE_MONITOR_SPOOL": str(tmp_path / "elsewhere"),
            "TIDEGATE_MONITOR_SPOOL_SIZE": "1.5G",
        }
    )
    assert settings.database.drivername == "postgresql+asyncpg"
    assert (settings.host, settings.port, settings.token) == ("0.0.0.0", 8091, "secret")
    assert settings.retention == 43_200
    assert (settings.spool, settings.spool_size) == (tmp_path / "elsewhere", 1_500_000_000)


@pytest.mark.parametrize(("given", "size"), [("7", 7), ("2k", 2_000), ("1Ki", 1024), ("0.5Mi", 2**19), ("1T", 10**12)])
def test_a_size_is_written_as_in_kubernetes(given: str, size: int) -> None:
    assert Settings.read({"TIDEGATE_MONITOR_SPOOL_SIZE": given}).spool_size == size


@pytest.mark.parametrize("given", ["postgres://h/d", "postgresql+psycopg://h/d", "sqlite:////tmp/x.db"])
def test_the_driver_is_the_monitors_choice(given: str) -> None:
    driver = Settings.read({"TIDEGATE_MONITOR_DATABASE": given}).database.drivername
    assert driver in {"postgresql+asyncpg", "sqlite+aiosqlite"}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("TIDEGATE_MONITOR_DATABASE", "pass:word@db", "is no URL"),
        ("TIDEGATE_MONITOR_DATABASE", "mysql://me:pass:word@db/x", "'mysql'"),
        ("TIDEGATE_MONITOR_DATABASE", "postgresql://me:pass:word@db:port/x", "is no URL"),
        ("TIDEGATE_MONITOR_DATABASE", "sqlite://", "names no file"),
        ("TIDEGATE_MONITOR_PORT", "0", "must be a port"),
        ("TIDEGATE_MONITOR_PORT", "tcp://10.0.0.1:80", "must be a port"),
        ("TIDEGATE_MONITOR_TOKEN_FILE", "/nowhere/token", "cannot be read"),
        ("TIDEGATE_MONITOR_TOKEN_FILE", "/dev/null", "is empty"),
        ("TIDEGATE_MONITOR_RETENTION", "30", "must be a duration"),
        ("TIDEGATE_MONITOR_RETENTION", "0d", "must be a duration"),
        ("TIDEGATE_MONITOR_SPOOL_SIZE", "0", "must be a size"),
        ("TIDEGATE_MONITOR_SPOOL_SIZE", "1GB", "must be a size"),
        ("TIDEGATE_MONITOR_SPOOL_SIZE", "-1", "must be a size"),
    ],
)
def test_what_makes_no_sense_is_named_without_its_secrets(name: str, value: str, reason: str) -> None:
    with pytest.raises(BadEnvironment) as caught:
        Settings.read({name: value})
    assert str(caught.value).startswith(name)
    assert reason in str(caught.value)
    assert "word" not in str(caught.value)


def test_settings_in_a_log_show_no_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hush")
    environ = {
        "TIDEGATE_MONITOR_DATABASE": "postgresql://me:hush@db/records",
        "TIDEGATE_MONITOR_TOKEN_FILE": str(tmp_path / "token"),
    }
    assert "hush" not in repr(Settings.read(environ))
