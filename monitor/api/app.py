"""The application: what replicas, users, the operator and Prometheus ask."""

import hmac
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Response
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError

from monitor.api.bodies import Accepted, FeedbackBody, Tallies
from monitor.api.errors import ApiError, answer_errors
from monitor.api.events import event_routes
from monitor.api.guard import Guard
from monitor.api.parameters import Named, Time
from monitor.api.plan import plan_routes
from monitor.api.reports import reports
from monitor.outbound.outbox import Outbox
from monitor.store.database import StoreRefused, StoreUnavailable
from monitor.store.entries import Batch, Feedback
from monitor.store.exposures import Page
from monitor.store.feedback import Heard
from monitor.store.metrics import Metrics
from monitor.store.service import Store

LARGEST_PAGE: Final = 10_000
_LAST_ROW: Final = 2**63 - 1


def create_app(store: Store, metrics: Metrics, token: str | None, outbox: Outbox | None = None) -> FastAPI:
    """The API on a store that somebody else runs. `token` opens what is under `/internal`; None: it is open.

    Events go into the outbox; without one they are kept, and no channel tells of them.
    """
    app = FastAPI(title="Tidegate's monitor", redirect_slashes=False)
    answer_errors(app)
    app.add_middleware(Guard)
    app.include_router(_internal(store, token, outbox or Outbox(store)))
    app.include_router(_public(store))
    app.include_router(_own(store, metrics))
    return app


def _internal(store: Store, token: str | None, outbox: Outbox) -> APIRouter:
    """What Tidegate's own processes ask."""
    bearer = HTTPBearer(auto_error=False)

    def known(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if token is None:
            return
        if given is None or not hmac.compare_digest(given.credentials.encode(), token.encode()):
            message = "the monitor's bearer token is missing or wrong"
            raise ApiError(401, "unauthorized", message, {"www-authenticate": "Bearer"})

    router = APIRouter(prefix="/internal/v1", tags=["internal"], dependencies=[Depends(known)])
    router.include_router(event_routes(outbox))

    router.include_router(reports(store))
    router.include_router(plan_routes(store))

    @router.post("/records")
    async def records(batch: Batch) -> Accepted:
        """Store what a replica has recorded. The answer comes when it is on disk; a retransmission is ignored."""
        return Accepted((await store.store(batch)).accepted)

    @router.get("/tallies")
    async def tallies(
        namespace: Named,
        model: Named,
        since: Time,
        until: Time | None = None,
    ) -> Tallies:
        """Count the requests that came from `since` until before `until`, and their feedback."""
        return Tallies(dict(await store.tallies(namespace, model, since, until)))

    @router.get("/exposures")
    async def exposures(
        namespace: Named,
        model: Named,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 1_000,
        after: Annotated[int, Query(ge=0, le=_LAST_ROW, description="`after` of the page before.")] = 0,
    ) -> Page:
        """List which version answered which key first."""
        return await store.exposures(namespace, model, after, limit)

    return router


def _public(store: Store) -> APIRouter:
    """What users reach through Envoy, which says in a header what the request is about."""
    router = APIRouter(prefix="/api/v1", tags=["feedback"])

    @router.post("/models/{name}/feedback", status_code=202)
    async def feedback(
        name: Annotated[str, Path()],
        body: FeedbackBody,
        tidegate_route: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Heard:
        """Say what became of requests: the right answer, a reward, or both."""
        namespace, _, model = (tidegate_route or "").partition("/")
        no_route = ApiError(400, "no_route", f"feedback for {name} is taken through Tidegate's router only")
        if model != name:
            raise no_route
        try:
            given = Feedback(namespace=namespace, model=model, items=body.said, replace=body.replace)
        except ValidationError:  # what is in the header names no model
            raise no_route from None
        return await store.hear(given)

    return router


def _own(store: Store, metrics: Metrics) -> APIRouter:
    """What is asked about the process itself."""
    router = APIRouter(include_in_schema=False, default_response_class=PlainTextResponse)

    @router.get("/healthz")
    async def healthz() -> str:
        return "ok\n"

    @router.get("/readyz")
    async def readyz() -> Response:
        try:
            await store.ready()
        except (StoreUnavailable, StoreRefused) as error:
            return PlainTextResponse(f"{error}\n", 503)
        return PlainTextResponse("ok\n")

    @router.get("/metrics")
    async def measured() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
