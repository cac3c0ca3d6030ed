"""A real API server on loopback: etcd and kube-apiserver, without nodes and without controllers.

Nothing is scheduled, collected or deleted by cascade here: what a controller would do, a test does itself.
"""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from operators.local.child import end_with
from tests.programs.find import program

HOST: Final = "127.0.0.1"
TOKEN: Final = "tests"
START_SECONDS: Final = 90.0


@dataclass
class ApiServer:
    """An API server whose files are in `root`. `start` after `kill` goes on with the same data on the same port."""

    root: Path
    port: int = 0
    _etcd_port: int = 0
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"https://{HOST}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig for its administrator."""
        return self.root / "kubeconfig"

    @property
    def certificate(self) -> Path:
        """What its clients trust: it signs its own certificate and puts the whole chain there."""
        return self.root / "certificates" / "apiserver.crt"

    def start(self) -> None:
        """Start what does not run; returns once the API server is ready. Raises `AssertionError` with its log."""
        if not self.port:
            self.port, peer, free = _free_ports(3)
            self._prepare()
            if not self._etcd_port:
                self._etcd_port = free
                self._start_etcd(peer)
        self._run(
            "kube-apiserver",
            *("--etcd-servers", self._etcd, "--bind-address", HOST, "--advertise-address", HOST),
            *("--secure-port", str(self.port), "--cert-dir", str(self.root / "certificates")),
            *("--service-account-key-file", str(self._key), "--service-account-signing-key-file", str(self._key)),
            *("--service-account-issuer", "https://tests.tidegate.dev"),
            *("--token-auth-file", str(self.root / "tokens"), "--authorization-mode", "RBAC"),
            # They would wait for controllers that are not here.
            *("--disable-admission-plugins", "ServiceAccount", "--endpoint-reconciler-type", "none"),
        )
        self._until_ready()

    def kill(self) -> None:
        """SIGKILL the API server; its data stay."""
        process = self._processes.pop("kube-apiserver")
        process.kill()
        process.wait()

    def another(self, root: Path) -> "ApiServer":
        """One more over the same data, not started yet. Of changes before its start it knows only what came of them."""
        return ApiServer(root, _etcd_port=self._etcd_port)

    def stop(self) -> None:
        """End everything that this has started."""
        for process in reversed(self._processes.values()):
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._processes.clear()

    def kubectl(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run has it
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator. When it fails and `check` is set: `AssertionError` with all it said."""
        done = subprocess.run(
            [program("kubectl"), *arguments],
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.root)},
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    @property
    def _etcd(self) -> str:
        return f"http://{HOST}:{self._etcd_port}"

    @property
    def _key(self) -> Path:
        return self.root / "service-accounts.pem"

    def _start_etcd(self, peer: int) -> None:
        self._run(
            "etcd",
            *("--data-dir", str(self.root / "etcd"), "--unsafe-no-fsync", "--log-level", "warn"),
            *("--listen-client-urls", self._etcd, "--advertise-client-urls", self._etcd),
            *("--listen-peer-urls", f"http://{HOST}:{peer}"),
            *("--initial-advertise-peer-urls", f"http://{HOST}:{peer}"),
            *("--initial-cluster", f"default=http://{HOST}:{peer}"),
        )

    def _prepare(self) -> None:
        (self.root / "tokens").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        subprocess.run(["openssl", "genrsa", "-out", self._key, "2048"], check=True, capture_output=True, timeout=60)
        name = "tests"
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": self.url, "certificate-authority": str(self.certificate)},
                }
            ],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "admin"}}],
            "current-context": name,
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def _run(self, name: str, *arguments: str) -> None:
        if name in self._processes:
            return
        with (self.root / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [program(name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with(os.getpid()),  # noqa: PLW1509 - one call of prctl(2), and no thread forks here
            )

    def _until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.kubectl("get", "--raw", "/readyz", check=False).returncode != 0:
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                name = ended[0] if ended else "kube-apiserver"
                log = (self.root / f"{name}.log").read_text(errors="replace")[-3000:]
                raise AssertionError(f"{name} {'ended' if ended else 'is not ready'}:\n{log}")
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((HOST, 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
