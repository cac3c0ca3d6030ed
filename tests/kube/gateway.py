"""What stands before the API servers of a larger cluster: it moves a client from one of them to another."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import yaml
from aiohttp import ClientResponse, ClientSession, web
from yarl import URL

from tests.kube.apiserver import HOST, TOKEN, ApiServer

GONE: Final = 410
NOT_YET: Final = (404, 429)
"""What an API server answers about a resource that it has not read yet."""
LONGEST_LINE: Final = 1 << 22


class Gateway:
    """Forwards to one API server, and later to a newer one.

    `held` has the resources whose watches wait until then, `gone` those for whose watch the answer was 410 Gone: the
    version to watch from is older than the API server can remember.
    """

    def __init__(self, server: ApiServer, session: ClientSession, root: Path) -> None:
        self.held: set[str] = set()
        self.gone: set[str] = set()
        self.kubeconfig: Final = root / "kubeconfig"
        self._server = server
        self._session = session
        self._root = root
        self._watches: set[asyncio.Timeout] = set()
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        """End all watches, as after their time; those that are asked for next wait for `move`."""
        self._open.clear()
        for watch in self._watches:
            watch.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def move(self) -> AsyncIterator[None]:
        """Start another API server, and send there what waits and whatever comes from now on."""
        newer = self._server.another(self._root)
        try:
            await asyncio.to_thread(newer.start)
            self._server = newer
            self._open.set()
            yield
        finally:
            newer.stop()

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of the client."""
        body = await request.read()
        if request.query.get("watch") in ("true", "True"):
            return await self._watch(request)
        async with self._ask(request, body) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        resource = request.path.rpartition("/")[2]
        while True:
            if not self._open.is_set():
                self.held.add(resource)
            await self._open.wait()
            async with self._ask(request, b"") as answer:
                if answer.status not in NOT_YET:
                    return await self._stream(request, answer, resource)
            await asyncio.sleep(0.1)

    async def _stream(self, request: web.Request, answer: ClientResponse, resource: str) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
        await response.prepare(request)
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as watch:
                self._watches.add(watch)
                try:
                    async for line in answer.content:
                        event = json.loads(line)
                        if event["type"] == "ERROR" and event["object"]["code"] == GONE:
                            self.gone.add(resource)
                        await response.write(line)
                finally:
                    self._watches.remove(watch)
        return response

    @asynccontextmanager
    async def _ask(self, request: web.Request, body: bytes) -> AsyncIterator[ClientResponse]:
        url = URL(f"{self._server.url}{request.path_qs}", encoded=True)
        headers = {name: request.headers[name] for name in ("Accept", "Content-Type") if name in request.headers}
        trust = ssl.create_default_context(cafile=self._server.certificate)
        headers["Authorization"] = f"Bearer {TOKEN}"
        async with self._session.request(request.method, url, headers=headers, data=body or None, ssl=trust) as answer:
            yield answer


@asynccontextmanager
async def gateway(server: ApiServer, root: Path) -> AsyncIterator[Gateway]:
    """A gateway before an API server; its files are in `root`."""
    async with ClientSession(read_bufsize=LONGEST_LINE, trust_env=False) as session:
        found = Gateway(server, session, root)
        application = web.Application(client_max_size=LONGEST_LINE)
        application.router.add_route("*", "/{path:.*}", found.forward)
        # A client that ends takes its watches along.
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0).start()
            config = yaml.safe_load(server.kubeconfig.read_text())
            config["clusters"][0]["cluster"] = {"server": f"http://{HOST}:{runner.addresses[0][1]}"}
            found.kubeconfig.write_text(yaml.safe_dump(config))
            yield found
        finally:
            await runner.cleanup()
