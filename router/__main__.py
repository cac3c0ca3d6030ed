"""The router of a pod.

Envoy runs in a container of its own, as the same user, with the folder TIDEGATE_ROUTER_DIR in common:

  envoy --config-path /run/tidegate/bootstrap.json --disable-hot-restart --concurrency N
        --drain-time-s 10 --drain-strategy immediate --log-level warning

with `python -m router bootstrap` as an init container before it and `python -m router drain` as its preStop hook. It
is ready for requests when /readyz of the router is.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from router.admin import AdminUnavailable, EnvoyAdmin
from router.pod.drain import NOTICE_SECONDS, DrainTimeout, drain
from router.pod.environment import BadEnvironment
from router.pod.settings import PodSettings, paths, write_bootstrap

log = logging.getLogger(__name__)

_EPILOG = """\
environment:
  POD_NAME                       the router's name in status.routers
  TIDEGATE_NAMESPACE             the pod's own namespace
  TIDEGATE_WATCH_NAMESPACES      whose ModelRoutes to serve, separated by commas; empty: all; unset: the own
  TIDEGATE_ROUTER_DIR            the folder shared with Envoy (/run/tidegate)
  TIDEGATE_LISTEN_PORT           where Envoy answers (8080)
  TIDEGATE_HTTP_PORT             where /healthz, /readyz, /metrics and /traffic are answered (9901)
  TIDEGATE_ENVOY_MAX_HEAP_BYTES  beyond this Envoy turns requests away (1 GiB); keep it below the container's limit
  TIDEGATE_MONITOR_ADDRESS       HOST:PORT of the monitor that feedback goes to; unset: feedback is answered 404
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 when it did its work, 1 with the reason on stderr when it could not."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        match options.command:
            case "bootstrap":
                write_bootstrap(PodSettings.read(os.environ))
            case "drain":
                asyncio.run(drain(EnvoyAdmin(paths(os.environ).admin_socket), options.seconds, options.notice))
            case _:
                # The others run in containers where the memory that this takes is Envoy's.
                from router.pod.process import run  # noqa: PLC0415

                asyncio.run(run(PodSettings.read(os.environ)))
    except AdminUnavailable as error:
        log.warning("there is no Envoy to take leave of: %s", error)
    except (BadEnvironment, DrainTimeout, OSError) as error:
        log.error("%s", error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m router",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="configure Envoy until SIGTERM, and then until Envoy is gone (the default)")
    commands.add_parser("bootstrap", help="write bootstrap.json, which Envoy is started with")
    leave = commands.add_parser("drain", help="let Envoy finish what is under way; returns when it may be stopped")
    leave.add_argument("--seconds", type=float, default=30.0, help="give up after so long (%(default)g)")
    leave.add_argument(
        "--notice",
        type=float,
        default=NOTICE_SECONDS,
        help="how long Services and ingresses get to notice that this pod is going (%(default)g)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
