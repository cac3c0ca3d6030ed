"""The route that plans comparisons."""

import time
from typing import Annotated

from fastapi import APIRouter, Query

from monitor.answers.plan import Plan
from monitor.api.errors import ApiError
from monitor.api.parameters import Named, Time
from monitor.reports import plans
from monitor.reports.needs import Planned, Unplannable, Wish, said
from monitor.reports.rows import Of
from monitor.store.service import Store


def plan_routes(store: Store) -> APIRouter:
    """The route, without a prefix of its own."""
    router = APIRouter()

    @router.get("/plan")
    async def plan(
        *,
        namespace: Named,
        model: Named,
        metric: Planned,
        effect: Annotated[float, Query(gt=0, le=1e12, description="The difference to find, in the metric's unit.")],
        share: Annotated[
            float | None, Query(gt=0, le=1, description="The candidate's of the requests, or the copied part of them.")
        ] = None,
        confidence: Annotated[float, Query(ge=0.5, le=0.9999)] = 0.95,
        power: Annotated[float, Query(ge=0.5, le=0.9999, description="How probably a difference is found.")] = 0.8,
        version: Annotated[Named | None, Query(description="Whose records show what is usual.")] = None,
        since: Time = 0,
        rate: Annotated[float | None, Query(ge=0, le=1, description="What is usual, in the place of records.")] = None,
        sd: Annotated[
            float | None, Query(gt=0, le=1e12, description="The standard deviation of rewards, in their place.")
        ] = None,
    ) -> Plan:
        """Tell how many samples, and how much time, it takes to find a difference between two versions."""
        wish = Wish(metric, effect, share, confidence, power)
        try:
            given = said(wish, rate, sd)
            return await plans.plan(
                store, Of(namespace, model, since), wish, version=version, given=given, now=time.time()
            )
        except Unplannable as error:
            raise ApiError(400, "invalid_request", f"{error.parameter}: {error}") from error

    return router
