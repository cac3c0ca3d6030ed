"""Reports on a store in a SQLite file."""

import tempfile
from pathlib import Path
from typing import Any

from auditcases import AuditCases
from comparisoncases import ComparisonCases
from driftcases import DriftCases
from evidencecases import EvidenceCases
from evidencehistories import anything, check_evidence
from historycases import HistoryCases
from hypothesis import settings
from monitorkit import running
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


@settings(quick, max_examples=40)
@anything
async def test_evidence_is_what_going_through_everything_finds(
    sent: list[Any], heard: list[tuple[int, object]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(f"sqlite:///{Path(folder) / 'records.db'}") as store:
            await check_evidence(store, sent, heard)
