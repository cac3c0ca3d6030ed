"""Reports on a store in a real PostgreSQL: the same as in SQLite."""

from typing import Any

from auditcases import AuditCases
from comparisoncases import ComparisonCases
from driftcases import DriftCases
from evidencecases import EvidenceCases
from evidencehistories import anything, check_evidence
from historycases import HistoryCases
from hypothesis import settings
from monitorkit import running
from postgresql import PostgreSQL, emptied
from storecases import quick


class TestEvidence(EvidenceCases):
    pass


class TestComparison(ComparisonCases):
    pass


class TestHistory(HistoryCases):
    pass


class TestDrift(DriftCases):
    pass


class TestAudit(AuditCases):
    pass


@settings(quick, max_examples=15)
@anything
async def test_evidence_is_what_going_through_everything_finds(
    shared_server: PostgreSQL, sent: list[Any], heard: list[tuple[int, object]]
) -> None:
    await emptied(shared_server.url)
    async with running(shared_server.url) as store:
        await check_evidence(store, sent, heard)
