"""Who listens hears all that is told from then on."""

import asyncio

from router.news import News


async def test_every_listener_hears_everything_after_a_first_none() -> None:
    news = News[str]()
    news.tell("nobody listens")
    first, second = news.listen(), news.listen()
    assert [await anext(first), await anext(second)] == [None, None]
    news.tell("a")
    news.tell("b")
    for listener in (first, second):
        assert [await anext(listener), await anext(listener)] == ["a", "b"]


async def test_a_listener_that_left_is_told_nothing_more() -> None:
    news = News[str]()
    leaving, staying = news.listen(), news.listen()
    assert [await anext(leaving), await anext(staying)] == [None, None]
    await leaving.aclose()  # type: ignore[attr-defined]
    news.tell("a")
    async with asyncio.timeout(5):
        assert await anext(staying) == "a"
    assert len(news._listeners) == 1
