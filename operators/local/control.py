"""The control process of one machine: `python -m operators.local.control --host ADDRESS --port PORT --ray URL`.

Wires the store, Ray Serve, the router and the clock to the controller, and runs until SIGTERM. The state folder comes
from `TIDEGATE_HOME`, the token of Ray's API from the file in it. Envoy and Ray are started by somebody else and go on
when this process ends; another one takes over where it stopped.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Sequence

from operators.clock import SystemClock
from operators.controller import Controller
from operators.local.home import Home
from operators.local.preflight import LOOPBACK
from operators.local.store import opened
from operators.local.wake import WakeError
from operators.ports import StoreUnavailable
from operators.rayserve import RayServe
from router.config import ListenConfig, RouterPaths
from router.service import Router
from serving.client import ServeClient

log = logging.getLogger(__name__)


async def control(home: Home, listen: ListenConfig, ray: str) -> None:
    """Follow the rollouts of `home` until cancelled.

    Raises `WakeError` or `StoreUnavailable` when the store cannot be used, `OSError` when the router's socket or the
    token cannot.
    """
    token = await asyncio.to_thread(home.ray_token.read_text)
    clock = SystemClock()
    router = Router(RouterPaths(home.router), listen)
    async with opened(home, clock) as store, ServeClient(ray, token.strip()) as client:
        await router.start()
        try:
            log.info("following the rollouts in %s", home.store)
            await Controller(store, RayServe(client), router, clock).run()
        finally:
            await router.stop()


async def _until_sigterm(home: Home, listen: ListenConfig, ray: str) -> None:
    work = asyncio.ensure_future(control(home, listen, ray))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process; 0 after SIGTERM, 1 when it cannot go on, with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m operators.local.control", description=__doc__)
    parser.add_argument("--host", default=LOOPBACK, help="the address that Envoy answers on (%(default)s)")
    parser.add_argument("--port", type=int, required=True, help="the port that Envoy answers on")
    parser.add_argument("--ray", required=True, help="the URL of Ray's dashboard")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        listen = ListenConfig(options.host, options.port)
        asyncio.run(_until_sigterm(Home.from_environment(), listen, options.ray))
    except (WakeError, StoreUnavailable, OSError) as error:
        log.error("the control process cannot run: %s", error)
        return 1
    log.info("stopped; traffic goes on with the last routes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
