"""What a request is refused with: the status that fits, and words that name the thing and the next step.

Under /v1 in OpenAI's form, elsewhere as {"detail": ...}. What went wrong inside is logged, and never shown.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from ice_agent.errors import (
    AdapterError,
    CollectError,
    CycleError,
    EngineClosed,
    EngineError,
    ForgetError,
    IceError,
    MemoriesError,
    Overloaded,
    PromptTooLong,
)
from memory import (
    AccessDenied,
    AmbiguousId,
    CannotRevert,
    Forged,
    LeaseHeld,
    NotaryError,
    SharedLineage,
    StaleLease,
    StaleParent,
    StoreError,
    StoreUnavailable,
    UnstorableText,
    WrongState,
)

logger = logging.getLogger(__name__)

OPENAI: Final = "/v1/"
"""Under this, errors are in OpenAI's form."""

# The first that fits; what is not here is a fault of the service.
_STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (AccessDenied, 401),
    (AmbiguousId, 409),
    (LookupError, 404),
    (UnstorableText, 400),
    (SharedLineage, 400),
    (MemoriesError, 400),
    (PromptTooLong, 400),
    (Forged, 400),
    (WrongState, 409),
    (StaleParent, 409),
    (StaleLease, 409),
    (LeaseHeld, 409),
    (CannotRevert, 409),
    (NotaryError, 409),
    (AdapterError, 409),
    (CycleError, 409),
    (ForgetError, 409),
    (CollectError, 502),
    (Overloaded, 429),
    (EngineClosed, 503),
    (EngineError, 503),
    (StoreUnavailable, 503),
)
_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES: Final = {
    401: "invalid_api_key",
    404: "not_found",
    413: "request_too_large",
    429: "rate_limit_exceeded",
}


class Refused(IceError):
    """A request that is not granted, with its status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.retry_after = status, param, code, retry_after


class Problem(BaseModel):
    """Why a request was refused, in words."""

    detail: str


class OpenAIError(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIProblem(BaseModel):
    """Why a request was refused, as OpenAI's clients read it."""

    error: OpenAIError


def documented(*statuses: int, form: type[BaseModel] = Problem) -> dict[int | str, dict[str, Any]]:
    """How a route says in its OpenAPI what it may be refused with."""
    return {status: {"model": form} for status in (400, 401, 403, 413, 429, 503, *statuses)}


def example(value: object, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """And what an answer looks like."""
    return {status: {"content": {"application/json": {"example": value}}}}


def install(app: FastAPI) -> None:
    """Every error that leaves a route becomes an answer here."""

    def refused(request: Request, error: Exception) -> JSONResponse:
        return answer(request.scope, error)

    for kind in (IceError, StoreError, Forged, HTTPException, RequestValidationError, OSError, Exception):
        app.add_exception_handler(kind, refused)


def answer(scope: Scope, error: Exception) -> JSONResponse:
    """The answer that tells of an error, in the form of the path that was asked."""
    path: str = scope["path"]
    status, message, param, code = told(error, scope)
    headers = _headers(status, error)
    if not path.startswith(OPENAI):
        is_of_fields = isinstance(error, RequestValidationError) and status == 422
        detail = _invalid(error) if is_of_fields else message  # type: ignore[arg-type]
        return JSONResponse({"detail": detail}, status, headers)
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    problem = {"message": message, "type": kind, "param": param, "code": code or _CODES.get(status)}
    return JSONResponse({"error": problem}, status, headers)


def told(error: Exception, scope: Scope) -> tuple[int, str, str | None, str | None]:
    """Status, words, and in OpenAI's form the field and the code."""
    match error:
        case Refused():
            return error.status, str(error), error.param, error.code
        case RequestValidationError():
            first, *_ = _invalid(error)
            if _is_unread(first, scope):
                return 400, "this needs a body of JSON: send `Content-Type: application/json`", None, None
            # Of a body that is no JSON the place is a count of characters, and its words say that.
            where = "" if first["type"] == "json_invalid" else ".".join(map(str, first["loc"][1:]))
            # OpenAI's clients know 400 alone for what is wrong with a request.
            status = 400 if scope["path"].startswith(OPENAI) else 422
            return status, f"{where}: {first['msg']}" if where else first["msg"], where or None, None
        case HTTPException():
            return error.status_code, str(error.detail), None, None
    # What never came to the app has nothing of its own to tell.
    words = scope["app"].state.serving.without_folders(str(error))
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if status < 500 or isinstance(error, EngineClosed):
        return (
            status,
            words,
            None,
            "context_length_exceeded" if isinstance(error, PromptTooLong) else None,
        )
    # An engine that is down is no fault in here, and would leave a trace for each request.
    is_engine = isinstance(error, EngineError)
    logger.error("a request failed: %s", error, exc_info=None if is_engine else error)
    if is_engine or isinstance(error, StoreUnavailable):
        # Their own words name an address behind this server.
        lacking = "no answer can be written" if is_engine else "the memory cannot be reached"
        return status, f"{lacking} now: try again later, and see the server's log", None, None
    shown = words if isinstance(error, IceError) else "something went wrong inside: see the server's log"
    return status, shown, None, None


def _headers(status: int, error: Exception) -> Mapping[str, str]:
    headers = dict(getattr(error, "headers", None) or {})
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(error.retry_after_seconds)
    elif isinstance(error, Refused) and error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    return headers


def _is_unread(problem: Mapping[str, Any], scope: Scope) -> bool:
    """Whether a body was not taken for JSON because nobody said that it is."""
    said = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    is_json = said == "application/json" or (said.startswith("application/") and said.endswith("+json"))
    return problem["loc"] == ["body"] and problem["type"] != "missing" and not is_json


def _invalid(error: RequestValidationError) -> list[dict[str, Any]]:
    """What is wrong with each field, without the input itself: it may be anything, of any size."""
    return [
        {"loc": list(each["loc"]), "msg": each["msg"].removeprefix("Value error, "), "type": each["type"]}
        for each in error.errors()
    ]
