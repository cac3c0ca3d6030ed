"""The operator in a cluster.

It follows the ModelRollouts of the watched namespaces while it holds the lease. Any number may run; one works.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final

from operators.kube.client import connected
from operators.kube.lease import LeaseLost
from operators.kube.process import operate
from operators.kube.release import leave, release
from operators.kube.settings import PROGRAM, Place, Settings
from operators.ports import PortUnavailable
from router.pod.cluster import NoCluster
from router.pod.environment import BadEnvironment

LEAVE_SECONDS: Final = 10.0
"""How long the last look at the own namespace may take: a pod that stops has 30 seconds."""

log = logging.getLogger("operators.kube")

_EPILOG = """\
environment:
  POD_NAME                   this process in the lease
  TIDEGATE_NAMESPACE         the pod's own namespace: the lease and the router pods are here
  TIDEGATE_WATCH_NAMESPACES  whose ModelRollouts to follow, separated by commas; empty: all; unset: the own
  TIDEGATE_LEASE             the lease's name (tidegate-operator)
  TIDEGATE_RAY_URL           the dashboard of the Ray head, http://HOST:8265
  TIDEGATE_RAY_TOKEN_FILE    the file with the cluster's token; unset: there is none
  TIDEGATE_ROUTER_SELECTOR   the labels of the router pods
  TIDEGATE_ROUTER_PORT       where they answer /traffic (9901)
  TIDEGATE_HTTP_PORT         where /healthz, /readyz and /metrics are answered (8081)
  TIDEGATE_MONITOR_URL       the monitor, http://HOST:8090; unset: there is none
  TIDEGATE_MONITOR_TOKEN_FILE
                             the file with the monitor's token; unset: it asks for none
  TIDEGATE_PROMETHEUS_URL    the Prometheus that checks may query, http://HOST:9090; unset: there is none
  TIDEGATE_PROMETHEUS_TOKEN_FILE
                             the file with a bearer token for it; unset: it asks for none
  TIDEGATE_WEB_METRIC_HOSTS  the hosts that checks may ask for JSON documents, separated by commas: names, *.ENDING,
                             or * for all at public addresses; unset: none
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 when it did its work, 1 with the reason on stderr when it cannot go on."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("kopf").setLevel(logging.CRITICAL)  # what ended a watch is said where it is begun again
    failed = False
    try:
        asyncio.run(_until_sigterm(_release() if options.command == "release" else _run()))
    except* (BadEnvironment, NoCluster, LeaseLost, PortUnavailable, OSError) as errors:
        failed = True
        for error in _leaves(errors):
            log.error("%s", error)
    return int(failed)


async def _run() -> None:
    settings = Settings.read(os.environ)
    try:
        await operate(settings)
    except asyncio.CancelledError:
        await _leave(settings.place)
        raise


async def _leave(place: Place) -> None:
    try:
        async with asyncio.timeout(LEAVE_SECONDS), connected() as api:
            await leave(api, place)
    except (NoCluster, PortUnavailable, TimeoutError) as error:
        log.warning("whether namespace %s is being deleted could not be found out: %s", place.namespace, error)


async def _release() -> None:
    async with connected() as api:
        await release(api, Place.read(os.environ))


async def _until_sigterm(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _leaves(errors: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="follow the rollouts until SIGTERM (the default)")
    commands.add_parser("release", help="take Tidegate's finalizers from all rollouts, before it is uninstalled")
    return parser


if __name__ == "__main__":
    sys.exit(main())
