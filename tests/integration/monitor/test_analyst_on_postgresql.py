"""The analyst on PostgreSQL."""

from analystcases import AnalystCases


class TestAnalyst(AnalystCases):
    pass
