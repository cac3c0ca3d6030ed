"""Routes of the reports: evidence for gates, and what people ask."""

import time
from typing import Annotated, Final

from fastapi import APIRouter, Query

from monitor.answers.audit import Baselines, BaselineSummary, RequestHistory, VersionsSeen
from monitor.answers.comparison import ComparisonReport
from monitor.answers.history import PerformanceReport
from monitor.answers.moves import VersionDrift
from monitor.answers.samples import Sample
from monitor.api.bodies import BaselineBody
from monitor.api.errors import ApiError
from monitor.api.parameters import Bucket, Named, Time, seconds
from monitor.evidence import DEFAULT_TOLERANCE, Evidence
from monitor.profiles import ProfileError
from monitor.reports import audit, baselines, comparison, drift, history, samples, versions
from monitor.reports.evidence import EvidenceReports, Metric
from monitor.reports.references import References
from monitor.reports.rows import Of
from monitor.store.entries import Identifier
from monitor.store.service import Store

LARGEST_WINDOW: Final = 10_000
MOST_TOLERANCES: Final = 20

Tolerance = Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)]


def reports(store: Store) -> APIRouter:
    """The routes, without a prefix of their own."""
    router = APIRouter()
    references = References(store)
    evidence_reports = EvidenceReports(store, references)

    @router.get("/evidence")
    async def evidence(
        *,
        namespace: Named,
        model: Named,
        since: Time,
        stable: Named,
        candidate: Named,
        metric: Annotated[list[Metric], Query(description="What is to be counted; nothing else is.")],
        tolerance: Annotated[list[Tolerance] | None, Query(max_length=MOST_TOLERANCES)] = None,
    ) -> Evidence:
        """Count what checks on predictions decide by, about requests that came since then."""
        of, tolerances = Of(namespace, model, since), tolerance or [DEFAULT_TOLERANCE]
        return await evidence_reports.about(of, (stable, candidate), frozenset(metric), tolerances)

    @router.get("/compare")
    async def compare(
        *,
        namespace: Named,
        model: Named,
        since: Time = 0,
        until: Time | None = None,
        stable: Named | None = None,
        candidate: Named | None = None,
    ) -> ComparisonReport:
        """Compare two versions, by default the two that were first seen last."""
        return await comparison.compare(store, Of(namespace, model, since, until), stable, candidate)

    @router.get("/performance")
    async def performance(namespace: Named, model: Named, since: Time = 0, bucket: Bucket = "1h") -> PerformanceReport:
        """Tell how each version did over time, and whether it gets worse."""
        return await history.performance(store, Of(namespace, model, since), seconds(bucket))

    @router.get("/drift")
    async def drifted(
        *,
        namespace: Named,
        model: Named,
        version: Named | None = None,
        reference: Annotated[Named | None, Query(description="The version whose reference is used.")] = None,
        window: Annotated[int, Query(ge=1, le=LARGEST_WINDOW, description="How many of the newest records.")] = 1_000,
    ) -> VersionDrift:
        """Compare a version's newest records with its reference."""
        return await drift.drift(
            store, references, Of(namespace, model), version=version, reference=reference, window=window
        )

    @router.get("/sample")
    async def sampled(
        *,
        namespace: Named,
        model: Named,
        version: Named | None = None,
        window: Annotated[int, Query(ge=1, le=LARGEST_WINDOW, description="How many of the newest records.")] = 1_000,
    ) -> Sample:
        """Give the values that `drift` compares."""
        return await samples.sample(store, references, Of(namespace, model), version, window)

    @router.get("/versions")
    async def seen(namespace: Named, model: Named) -> VersionsSeen:
        """List the versions that have been seen."""
        return await versions.seen(store, namespace, model)

    @router.get("/records/{request_id:path}")
    async def request(namespace: Named, model: Named, request_id: Identifier) -> RequestHistory:
        """Tell what became of one request."""
        return await audit.history(store, namespace, model, request_id)

    @router.get("/baselines")
    async def known(namespace: Named, model: Named) -> Baselines:
        """List what the drift of each version is measured from."""
        return await baselines.known(store, namespace, model)

    @router.post("/baselines")
    async def keep(body: BaselineBody) -> BaselineSummary:
        """Have the drift of a version measured from profiles of its training data. The same again changes nothing."""
        try:
            features = await baselines.profile_of(body.features)
            predictions = None if body.predictions is None else await baselines.profile_of(body.predictions)
        except ProfileError as error:
            raise ApiError(400, "bad_profile", str(error)) from error
        of = (body.namespace, body.model, body.version)
        return await baselines.keep(store, of, features, predictions, time.time())

    return router
