"""The analyst on SQLite."""

from analystcases import AnalystCases


class TestAnalyst(AnalystCases):
    pass
