"""What a replica writes, the monitor reads: the two agree on the form of records, though neither knows the other."""

import time

from collectorkit import INFER, infer, listening, serving, until

from monitor.store.entries import Batch


def test_the_monitor_reads_what_a_replica_sends():
    with listening() as monitor, serving(monitor.url, max_rows=2, block_seconds=0.2) as (server, client):
        before = time.time()
        marks = {"x-request-id": "one", "tidegate-key": "user 7", "tidegate-share": "2500"}
        client.post(INFER, json=infer([1, 2]), headers=marks)
        client.post(INFER, json=infer([1, 2], [3, 4], [5, 6]), headers={"x-request-id": "many"})
        client.post(INFER, json=infer([1.7e308, 1.7e308]), headers={"x-request-id": "null", "tidegate-mirror": "1"})
        client.post(INFER, json=infer([-1, 0]), headers={"x-request-id": "raises"})
        client.post(INFER, content=b"{", headers={"x-request-id": "i" * 300})
        until(lambda: server.stats().recorded == 5)
        after = time.time()
    batches = [Batch.model_validate(body) for body in monitor.batches]
    records = {record.id: record for batch in batches for record in batch.records}
    for record in records.values():
        assert before - 1e-3 <= record.at <= after + 1e-3
        assert 0 < record.ms < 60_000
    long = next(name for name in records if name.startswith("xxh128:"))
    expected = {
        "one": (200, False, 1, "user 7", 2500, {"a": [1.0], "b": [2.0]}, {"predict": [3.0]}),
        "many": (200, False, 3, None, None, {"a": [1.0, 3.0], "b": [2.0, 4.0]}, {"predict": [3.0, 7.0]}),
        "null": (200, True, 1, None, None, {"a": [1.7e308], "b": [1.7e308]}, {"predict": [None]}),
        "raises": (500, False, 1, None, None, {"a": [-1.0], "b": [0.0]}, None),
        long: (400, False, 0, None, None, None, None),
    }
    names = ("status", "mirrored", "rows", "key", "share", "inputs", "outputs")
    assert {
        name: tuple(getattr(record, attribute) for attribute in names) for name, record in records.items()
    } == expected
