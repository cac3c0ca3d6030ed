"""Errors as everywhere in Tidegate: JSON `{"error", "code", "request_id"}` with the status that fits."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from monitor.store.database import StoreRefused, StoreUnavailable
from monitor.store.feedback import FeedbackConflict

RETRY_SECONDS: Final = 1
_NAMED: Final = 3
"""Problems that one message names."""
_OWN: Final = {"body", "query", "path", "one", "many"}
"""Parts of a path to a problem that are not the client's words."""

log = logging.getLogger(__name__)


class ApiError(HTTPException):
    """A request that gets an error as its answer. `code` is a short machine word."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code


def answer_errors(app: FastAPI) -> None:
    """Have every error answered in this form."""

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        code = error.code if isinstance(error, ApiError) else HTTPStatus(error.status_code).phrase.lower()
        return _answer(request, error.status_code, code.replace(" ", "_"), error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> JSONResponse:
        return _answer(request, 400, "invalid_request", _told(error.errors()))

    @app.exception_handler(FeedbackConflict)
    async def _(request: Request, error: FeedbackConflict) -> JSONResponse:
        return _answer(request, 409, "feedback_conflict", str(error))

    @app.exception_handler(StoreUnavailable)
    async def _(request: Request, error: StoreUnavailable) -> JSONResponse:
        log.warning("%s", error)
        message = "the monitor's database cannot be used right now; send it again"
        return _answer(request, 503, "store_unavailable", message, {"retry-after": str(RETRY_SECONDS)})

    @app.exception_handler(StoreRefused)
    async def _(request: Request, error: StoreRefused) -> JSONResponse:
        log.error("%s", error)
        return _answer(request, 400, "store_refused", "the monitor's database does not take this; its log says why")

    @app.exception_handler(Exception)
    async def _(request: Request, _: Exception) -> JSONResponse:
        return _answer(request, 500, "internal_error", "the monitor failed to handle this request; its log says why")


def _answer(
    request: Request, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    content = {"error": message, "code": code, "request_id": request.state.request_id}
    return JSONResponse(content, status, dict(headers or {}))


def _told(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first problems, each after the path to it."""
    told = []
    for error in errors[:_NAMED]:
        if error["type"] == "json_invalid":
            return f"the body is no JSON: {error['ctx']['error']}"
        path = ".".join(str(part) for part in error["loc"] if part not in _OWN)
        message = error["msg"].removeprefix("Value error, ")
        told.append(f"{path}: {message}" if path else message)
    more = len(errors) - _NAMED
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")
