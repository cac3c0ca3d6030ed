"""A child process that is started again when it dies, and that dies with its parent."""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.envoy import end

RESTART_SECONDS: Final = 0.5
"""The pause before the first restart; doubles up to `RESTART_LIMIT` while the child does not stay up."""
RESTART_LIMIT: Final = 10.0
STAYED_UP_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Child:
    """How to run one process: its output goes to `log`, its name is for messages."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]

    async def run(self, say: Callable[[str], None]) -> None:
        """Keep the process running until cancelled; then end it, first with SIGTERM."""
        pause = RESTART_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            code = await self._once()
            pause = RESTART_SECONDS if loop.time() - started > STAYED_UP_SECONDS else min(2 * pause, RESTART_LIMIT)
            say(f"{self.name} ended with code {code} and is started again in {pause:g} s; see {self.log}")
            await asyncio.sleep(pause)

    async def _once(self) -> int:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                start_new_session=True,
                preexec_fn=end_with(os.getpid()),
            )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                await end(process, STOP_SECONDS)


def end_with(parent: int) -> Callable[[], None]:
    """What runs between fork and exec: the kernel shall send SIGTERM when the thread that forked is gone."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return ask_kernel
