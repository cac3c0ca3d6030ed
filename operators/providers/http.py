"""One GET within bounds: so many seconds, so many bytes, no proxy, no redirect."""

from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from operators.ports import NotMeasured

ANSWER_SECONDS: Final = 5.0
LARGEST: Final = 1 << 20
"""Bytes of an answer."""


def session(connector: aiohttp.BaseConnector | None = None) -> aiohttp.ClientSession:
    """Connections that neither cookies nor the environment's proxies and credentials have a part in."""
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"accept": "application/json", "accept-encoding": "identity"},
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        trust_env=False,
    )


async def get(
    session: aiohttp.ClientSession,
    whom: str,
    url: URL,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """The answer's status and content. `whom` is who is asked, in messages. Raises `NotMeasured`."""
    content = bytearray()
    try:
        async with session.get(url, params=query, headers=headers, allow_redirects=False) as answer:
            async for chunk in answer.content.iter_chunked(1 << 16):
                content += chunk
                if len(content) > LARGEST:
                    raise NotMeasured(f"{whom} answered with more than {LARGEST >> 20} MiB")
            return answer.status, bytes(content)
    except TimeoutError as error:
        raise NotMeasured(f"{whom} did not answer within {ANSWER_SECONDS:g} seconds") from error
    except aiohttp.ClientConnectorError as error:
        raise NotMeasured(f"{whom} cannot be reached: {error.os_error.strerror or error.os_error}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise NotMeasured(f"{whom} gave no answer: {error}") from error
