"""Events: told by the operator and by whoever watches the records, listed for people."""

from typing import Annotated, Final

from fastapi import APIRouter, Body, Query
from pydantic import AfterValidator

from monitor.api.bodies import Accepted
from monitor.event import Event, Kind, Page
from monitor.outbound import events
from monitor.outbound.outbox import Outbox
from monitor.store.entries import Name, writable

LARGEST_POST: Final = 1_000
LARGEST_PAGE: Final = 1_000
_LAST_ROW: Final = 2**63 - 1


def _writable(event: Event) -> Event:
    writable((event.title, event.message, event.details))
    return event


_Given = Annotated[Event, AfterValidator(_writable)]


def event_routes(outbox: Outbox) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.post("/events")
    async def post(given: Annotated[list[_Given], Body(max_length=LARGEST_POST)]) -> Accepted:
        """Keep events, and tell the channels that are for them. Those whose key is known already are ignored."""
        return Accepted(await outbox.emit(*given))

    @router.get("/events")
    async def page(
        namespace: Annotated[Name | None, Query()] = None,
        model: Annotated[Name | None, Query()] = None,
        kind: Kind | None = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
        after: Annotated[int | None, Query(ge=0, le=_LAST_ROW, description="`after` of the page before.")] = None,
    ) -> Page:
        """List events, newest first."""
        wanted = {"namespace": namespace, "model": model, "kind": kind}
        async with outbox.store.reading() as connection:
            return await events.page(connection, wanted, after, limit)

    return router
