"""Whatever was sent: evidence is what going through all records finds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from evidencecases import about
from hypothesis import given
from hypothesis import strategies as st
from monitorkit import NOON, OF, counted, label, record, said
from reportkit import BOTH, CANDIDATE, STABLE, replica

from monitor.conformal import DriftWatch
from monitor.drift import compare
from monitor.evidence import DriftTally, ErrorTally, Move, PairTally
from monitor.profiles import Kind, Profile, hash_of
from monitor.reports import baselines
from monitor.reports.evidence import METRICS
from monitor.store.entries import Batch, Feedback, Record
from monitor.store.service import Store
from monitor.tallies import agrees

_numbers = st.sampled_from([0, 1, 1.0, 1.0000001, 2.5, -3, 1e6])
_answers = st.one_of(_numbers, st.sampled_from(["a", "b", True, None, [1.5, 2]]))
_rows = st.tuples(_numbers, st.sampled_from(["red", "blue", None]), _answers)
_sent = st.tuples(
    st.sampled_from([*BOTH, "v3"]), st.integers(0, 12), st.booleans(), st.sampled_from([200, 500]), st.integers(-2, 3)
)
_requests = st.lists(st.tuples(_sent, st.lists(_rows, min_size=1, max_size=3), st.booleans()), max_size=40)
_feedback = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 1, 2.5, "a", True])), max_size=12)
anything = given(_requests, _feedback)

REFERENCE = Profile.of(
    {"size": [0, 1, 1, 2.5] * 30, "color": ["red"] * 120},
    {"size": Kind.NUMERIC},
)


async def check_evidence(store: Store, sent: Sequence[Any], heard: Sequence[tuple[int, object]]) -> None:
    """Send all of it, ask, and count the long way."""
    batches = []
    for (version, name, mirrored, status, at), rows, recorded in sent:
        columns = [list(column) for column in zip(*rows, strict=True)]
        values = {"inputs": {"size": columns[0], "color": columns[1]}, "outputs": {"predict": columns[2]}}
        entry = record(str(name), NOON + at, status, mirrored=mirrored, **(values if recorded else {}))
        batches.append(replica(version).send(entry))
    for batch in batches:
        await store.store(batch)
    feedback = [said(label(str(name), right), replace=True) for name, right in heard]
    for one in feedback:
        await store.hear(one)
    await baselines.keep(store, (*OF, STABLE), REFERENCE, None, NOON)
    tolerances = [0, 1e-6, 0.5]
    found = await about(store, *METRICS, tolerances=tolerances)
    tallies = counted(batches, feedback, NOON, None)
    assert found.versions == {version: tally for version, tally in tallies.items() if version in BOTH}
    assert found.pairs == tuple(_paired(batches, tolerance) for tolerance in tolerances)
    assert found.errors == _errors(batches, feedback)
    assert found.features == _moves(batches)


def _entries(batches: Sequence[Batch]) -> Iterator[tuple[str, Record]]:
    return ((batch.version, it) for batch in batches for it in batch.records)


def _paired(batches: Sequence[Batch], tolerance: float) -> PairTally:
    answers: dict[str, tuple[str, Record]] = {}
    copies: dict[str, Record] = {}
    for version, it in _entries(batches):
        if it.outputs and it.status < 500:
            if it.mirrored and version == CANDIDATE:
                copies.setdefault(it.id, it)
            elif not it.mirrored:
                answers.setdefault(it.id, (version, it))
    pairs = [
        (it.outputs["predict"], copies[name].outputs["predict"])  # type: ignore[index]
        for name, (version, it) in answers.items()
        if version == STABLE and name in copies and it.at >= NOON
    ]
    return PairTally(tolerance, len(pairs), sum(_close(one, other, tolerance) for one, other in pairs))


def _close(one: object, other: object, tolerance: float) -> bool:
    """By the definition, value by value; a pair has no tolerance when any of its values is no number."""
    flat = [list(_flat(value)) for value in (one, other)]
    every = [value for value in (*flat[0], *flat[1]) if value is not None]
    if agrees(one, {"": [other]}):
        return True
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in every)
    if not numeric or _form(one) != _form(other):
        return False
    gaps = [(a, b) for a, b in zip(*flat, strict=True) if a is not None]
    return bool(gaps) and all(abs(a - b) <= tolerance * max(abs(a), abs(b)) for a, b in gaps)


def _flat(value: object) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def _form(value: object) -> object:
    return [_form(one) for one in value] if isinstance(value, list) else value is None


def _errors(batches: Sequence[Batch], heard: Sequence[Feedback]) -> dict[str, ErrorTally]:
    answers: dict[str, tuple[str, Record]] = {}
    for version, it in _entries(batches):
        if it.is_answer:
            answers.setdefault(it.id, (version, it))
    labels = {item.request_id: item.label for one in heard for item in one.items}
    found: dict[str, ErrorTally] = {}
    for name, right in labels.items():
        if name not in answers:
            continue
        version, it = answers[name]
        answer = it.outputs["predict"][0] if it.outputs else None
        if version in BOTH and it.at >= NOON and _is_number(answer) and _is_number(right):
            old, gap = found.get(version, ErrorTally()), abs(answer - right)
            found[version] = ErrorTally(old.count + 1, old.absolute + gap, old.squares + gap * gap)
    return {
        version: ErrorTally(one.count, pytest.approx(one.absolute), pytest.approx(one.squares))
        for version, one in found.items()
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moves(batches: Sequence[Batch]) -> DriftTally:
    mine = [it for version, it in _entries(batches) if version == CANDIDATE and it.at >= NOON and it.inputs]
    rows = [_chosen(it.id, it.inputs or {}) for it in mine]
    table = {name: [row[name] for row in rows] for name in ("size", "color")} if rows else {}
    window = Profile.of(table, REFERENCE.kinds, [it.id for it in mine] if rows else None)
    psi = {one.feature: (one.samples, one.psi) for one in compare(REFERENCE, window).features}
    moves = []
    for name, column in REFERENCE.columns.items():
        watch = DriftWatch(column, 1e-9, seed=hash_of(name))
        for row in rows:
            watch.update([row[name]])
        moves.append(Move(name, *psi[name], 0.9 * watch.result.e_value))
    moves.sort(key=lambda one: (one.psi is None, -(one.psi or 0), one.name))
    return DriftTally("file", 120, len(rows), tuple(moves))


def _chosen(name: str, inputs: Mapping[str, Sequence[object]]) -> dict[str, object]:
    return {column: values[hash_of(name) % len(values)] for column, values in inputs.items()}
