"""Helpers of tests that assert: their asserts explain themselves as those of tests do."""

import pytest

pytest.register_assert_rewrite(
    "analystcases",
    "auditcases",
    "comparisoncases",
    "driftcases",
    "evidencecases",
    "evidencehistories",
    "historycases",
    "hostilecases",
    "monitorkit",
    "monitorprocess",
    "outboundkit",
    "paircases",
    "reportkit",
    "retentioncases",
    "storecases",
    "upgradecases",
)
