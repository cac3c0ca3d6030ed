"""The control process of one machine: `python -m operators.local.control --host ADDRESS --port PORT --ray URL`.

Wires the store, Ray Serve, the router, the monitor and the clock to the controller, and runs until SIGTERM. The state
folder comes from `TIDEGATE_HOME`, the tokens of Ray's API and of the monitor from files in it, and the monitor's URL
from `TIDEGATE_MONITOR_URL`; without that there is none. `operators.providers.settings` has the variables for checks
that ask Prometheus or the web. Envoy, Ray and the monitor are started by somebody else and go on when this process
ends; another one takes over where it stopped.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final
from urllib.parse import urlsplit

from monitor.client import MonitorClient
from operators.clock import SystemClock
from operators.controller import Controller
from operators.local.home import Home
from operators.local.monitor import URL_VARIABLE
from operators.local.preflight import LOOPBACK
from operators.local.store import opened
from operators.local.wake import WakeError
from operators.monitoring import Monitoring
from operators.notices import Notices
from operators.ports import StoreUnavailable
from operators.providers.service import providers
from operators.providers.settings import ProviderSettings
from operators.providers.web import ANY
from operators.rayserve import RayServe
from router.config import Address, ListenConfig, RouterPaths
from router.pod.environment import BadEnvironment, Environment
from router.service import Router
from serving.client import ServeClient

PROGRAM: Final = "python -m operators.local.control"

log = logging.getLogger(__name__)


async def control(home: Home, listen: ListenConfig, ray: str, monitor: str | None, figures: ProviderSettings) -> None:
    """Follow the rollouts of `home` until cancelled.

    Raises `WakeError` or `StoreUnavailable` when the store cannot be used, `OSError` when the router's socket or
    Ray's token cannot.
    """
    token = await asyncio.to_thread(home.ray_token.read_text)
    clock = SystemClock()
    router = Router(RouterPaths(home.router), listen)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened(home, clock))
        client = await stack.enter_async_context(ServeClient(ray, token.strip()))
        monitoring = notices = None
        if monitor is not None:
            asked = await stack.enter_async_context(MonitorClient(monitor, home.monitor_token))
            monitoring, notices = Monitoring(asked), Notices(asked, clock.now)
        # Whoever writes a rollout here owns the machine: there is nothing to guard from them.
        metrics = await stack.enter_async_context(providers(figures, clock, guarded=False))
        await router.start()
        stack.push_async_callback(router.stop)
        log.info("following the rollouts in %s", home.store)
        rays = RayServe(client)
        controller = Controller(store, rays, router, clock, observer=notices, monitor=monitoring, metrics=metrics)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(controller.run())
            if notices is not None:
                tasks.create_task(notices.run())


async def _until_sigterm(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process; 0 after SIGTERM, 1 when it cannot go on, with the reason on stderr."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--host", default=LOOPBACK, help="the address that Envoy answers on (%(default)s)")
    parser.add_argument("--port", type=int, required=True, help="the port that Envoy answers on")
    parser.add_argument("--ray", required=True, help="the URL of Ray's dashboard")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        monitor = os.environ.get(URL_VARIABLE) or None
        address = None if monitor is None else Address.parse(urlsplit(monitor).netloc)
        listen = ListenConfig(options.host, options.port, monitor=address)
        figures = ProviderSettings.read(Environment(os.environ, PROGRAM), web_hosts=ANY)
        asyncio.run(_until_sigterm(control(Home.from_environment(), listen, options.ray, monitor, figures)))
    except (BadEnvironment, WakeError, StoreUnavailable, OSError) as error:
        log.error("the control process cannot run: %s", error)
        return 1
    log.info("stopped; traffic goes on with the last routes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
