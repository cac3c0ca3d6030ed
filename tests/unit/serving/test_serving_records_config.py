"""Which settings of records there are, and which are refused."""

import threading

import httpx
import pytest
from collectorkit import INFER, Sum, infer, until

from serving.records import BadRecordsConfig, RecordsConfig
from serving.server import ModelServer, ServerConfig


def test_without_a_url_nothing_happens_at_all():
    before = threading.active_count()
    assert RecordsConfig.from_environment({}) is None
    assert RecordsConfig.from_environment({"TIDEGATE_RECORDS_URL": "", "TIDEGATE_RECORDS_SAMPLE": "x"}) is None
    server = ModelServer(ServerConfig(model="sum", version="v7"), Sum())
    url = f"http://127.0.0.1:{server.start()}{INFER}"
    try:
        assert httpx.post(url, json=infer([1, 2]), headers={"tidegate-key": "k"}).status_code == 200
        assert "tidegate-records" not in {thread.name for thread in threading.enumerate()}
        assert (server.stats().recorded, server.stats().dropped) == (0, 0)
    finally:
        server.stop()
    until(lambda: threading.active_count() <= before)


def test_the_environment_says_where_records_go(tmp_path):
    config = RecordsConfig.from_environment(
        {
            "TIDEGATE_RECORDS_URL": "https://monitor.test:8090/base/",
            "TIDEGATE_RECORDS_TOKEN_FILE": str(tmp_path),
            "TIDEGATE_RECORDS_SAMPLE": "12.5",
        }
    )
    assert config == RecordsConfig("https://monitor.test:8090/base/", tmp_path, 1_250)


def test_the_rate_up_to_which_all_values_are_kept_may_be_set_and_is_500_else():
    told = {"TIDEGATE_RECORDS_URL": "http://x", "TIDEGATE_RECORDS_SAMPLE": ""}
    usual, slow = (RecordsConfig.from_environment(told | more) for more in ({}, {"TIDEGATE_RECORDS_RATE": "20.5"}))
    assert (usual.sample, usual.rate) == (None, 500)
    assert (slow.sample, slow.rate) == (None, 20.5)


@pytest.mark.parametrize(
    "url",
    ["monitor:8090", "ftp://monitor", "http://", "http://monitor:port", "http://[::1", "http://a b", "http://u:p@host"],
)
def test_a_url_that_nothing_can_be_sent_to_is_refused(url):
    with pytest.raises(BadRecordsConfig, match="TIDEGATE_RECORDS_URL"):
        RecordsConfig.from_environment({"TIDEGATE_RECORDS_URL": url})


@pytest.mark.parametrize("sample", ["all", "-1", "101", "nan"])
def test_a_sample_that_is_no_percentage_is_refused(sample):
    with pytest.raises(BadRecordsConfig, match="TIDEGATE_RECORDS_SAMPLE"):
        RecordsConfig.from_environment({"TIDEGATE_RECORDS_URL": "http://x", "TIDEGATE_RECORDS_SAMPLE": sample})


@pytest.mark.parametrize("rate", ["many", "-1", "0", "nan", "inf"])
def test_a_rate_that_is_no_positive_number_is_refused(rate):
    with pytest.raises(BadRecordsConfig, match="TIDEGATE_RECORDS_RATE"):
        RecordsConfig.from_environment({"TIDEGATE_RECORDS_URL": "http://x", "TIDEGATE_RECORDS_RATE": rate})
