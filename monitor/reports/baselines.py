"""Profiles that came with a model, and those that were made of its first records: stored, and told of."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Row, or_, select

from monitor.answers.audit import Baselines, BaselineSummary, ColumnSummary
from monitor.drift import DriftSettings, compare
from monitor.profiles import Profile, ProfileError
from monitor.reports.rows import Of, read
from monitor.store.dialect import inserting
from monitor.store.schema import MICROSECONDS, baselines
from monitor.store.service import Store


async def keep(
    store: Store, of: tuple[str, str, str], features: Profile, predictions: Profile | None, now: float
) -> BaselineSummary:
    """Have drift of a version (namespace, model, version) measured from these profiles.

    They take the place of others; the same again changes nothing.
    """
    key = dict(zip(("namespace", "model", "version"), of, strict=True))
    texts = [None if one is None else await asyncio.to_thread(one.to_json) for one in (features, predictions)]
    row = {"source": "file", "made_at": round(now * MICROSECONDS), "features": texts[0], "predictions": texts[1]}
    async with store.writing() as connection:
        insert = inserting(connection, baselines).values(key | row)
        changed = (baselines.c[name].is_distinct_from(insert.excluded[name]) for name in row if name != "made_at")
        newest = {name: insert.excluded[name] for name in row}
        await connection.execute(
            insert.on_conflict_do_update(index_elements=list(key), set_=newest, where=or_(*changed))
        )
        same = (baselines.c[name] == value for name, value in key.items())
        made_at = (await connection.execute(select(baselines.c.made_at).where(*same))).scalar_one()
    return BaselineSummary(of[2], "file", made_at / MICROSECONDS, _summary(features), _summary(predictions))


async def known(store: Store, namespace: str, model: str) -> Baselines:
    """Those of all versions of the model."""
    query = select(baselines).where(Of(namespace, model).model_of(baselines)).order_by(baselines.c.version)
    async with store.reading() as connection:
        rows = (await read(connection, query)).rows
    return Baselines(tuple([await asyncio.to_thread(_told, row) for row in rows]))


async def profile_of(document: Mapping[str, Any]) -> Profile:
    """A profile that drift can be measured from. Raises `ProfileError`."""
    return await asyncio.to_thread(_usable, document)


def _usable(document: Mapping[str, Any]) -> Profile:
    try:
        profile = Profile.from_json(orjson.dumps(document))
        compare(profile, profile, DriftSettings(min_samples=1))  # as it will be used
    except ProfileError:
        raise
    except (TypeError, ValueError, AttributeError) as problem:
        raise ProfileError(f"no profile: {problem}") from problem
    return profile


def _told(row: Row[Any]) -> BaselineSummary:
    profiles = [None if text is None else Profile.from_json(text) for text in (row.features, row.predictions)]
    return BaselineSummary(row.version, row.source, row.made_at / MICROSECONDS, *map(_summary, profiles))


def _summary(profile: Profile | None) -> tuple[ColumnSummary, ...]:
    if profile is None:
        return ()
    return tuple(
        ColumnSummary(name, profile.kinds[name].value, column.count, column.missing)
        for name, column in profile.columns.items()
    )
