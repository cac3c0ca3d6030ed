"""The monitor: keeps what replicas record and users report, and answers how versions compare."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

import uvicorn
import uvloop

from monitor.analyst.gauges import Metrics as AnalystMetrics
from monitor.analyst.service import Analyst
from monitor.api.app import create_app
from monitor.outbound.metrics import Metrics as OutboundMetrics
from monitor.outbound.outbox import Outbox
from monitor.outbound.service import Outbound
from monitor.settings import BadEnvironment, Settings
from monitor.store.database import StoreTooNew
from monitor.store.metrics import Metrics
from monitor.store.service import Store
from monitor.store.spool import Spool

SHUTDOWN_SECONDS: Final = 10
"""How long requests that have begun may take when the process is told to end."""

log = logging.getLogger("monitor")

_EPILOG = """\
environment:
  TIDEGATE_MONITOR_DATABASE    postgresql://USER:PASSWORD@HOST/NAME or sqlite:////PATH (records.db in TIDEGATE_HOME)
  TIDEGATE_MONITOR_HOST        the address to answer on (127.0.0.1)
  TIDEGATE_MONITOR_PORT        the port to answer on (8090)
  TIDEGATE_MONITOR_TOKEN_FILE  the file with the bearer token for /internal; unset: there is none
  TIDEGATE_MONITOR_RETENTION   how long records and feedback are kept: 12h, 30d (30d)
  TIDEGATE_MONITOR_SPOOL       the folder for what is accepted while the database is away (spool in TIDEGATE_HOME)
  TIDEGATE_MONITOR_SPOOL_SIZE  how much it may hold: 500M, 1Gi (1Gi)
  TIDEGATE_MONITOR_NOTIFICATIONS           the file that names the channels to tell of events; unset: none
  TIDEGATE_MONITOR_CLOUDEVENTS_URL         where to send records as CloudEvents; unset: nowhere
  TIDEGATE_MONITOR_CLOUDEVENTS_TOKEN_FILE  the file with the bearer token for that; unset: there is none
  TIDEGATE_MONITOR_CLOUDEVENTS_MODE        batch, or single as KServe's logger does (batch)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM; 0 then, 1 with the reason on stderr when it cannot go on."""
    parser = argparse.ArgumentParser(
        prog="python -m monitor",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("alembic", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    failed = False
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(Settings.read(os.environ)))
    except* (BadEnvironment, StoreTooNew, OSError) as errors:
        failed = True
        for error in errors.exceptions:
            log.error("the monitor cannot run: %s", error)
    return int(failed)


async def serve(settings: Settings) -> None:
    """Answer until SIGTERM. Raises `OSError` when the port is taken, `StoreTooNew` (in a group)."""
    metrics = Metrics()
    spool = Spool(settings.spool, settings.spool_size)
    store = Store(settings.database, settings.retention, metrics, spool=spool)
    outbox = Outbox(store, settings.channels)
    outbound = Outbound(store, settings.channels, settings.sink, OutboundMetrics(metrics.registry))
    analyst = Analyst(store, outbox, AnalystMetrics(metrics.registry))
    config = uvicorn.Config(
        create_app(store, metrics, settings.token, outbox),
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    with socket.create_server((settings.host, settings.port), backlog=2048) as listening:
        # uvicorn ends upon SIGTERM and SIGINT, and then raises the signal again for whoever listened before.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        log.info("answering on %s:%d", settings.host, settings.port)
        try:
            async with asyncio.TaskGroup() as tasks:
                work = [tasks.create_task(one.run()) for one in (store, outbound, analyst)]
                await uvicorn.Server(config).serve(sockets=[listening])
                for task in work:
                    task.cancel()
        finally:
            await store.close()
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
