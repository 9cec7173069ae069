"""Which error of the REST API an exception becomes: one function for each kind of exception.

`HANDLERS` is the whole list; what is not in it is a bug, and ninja answers 500.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as InvalidModel
from django.http import Http404, HttpRequest
from django.http.multipartparser import MultiPartParserError
from ninja.errors import HttpError, Throttled, ValidationError

from accounts import audit
from accounts.caller import Caller
from accounts.errors import ApiError
from accounts.limits import TooMany
from channels.errors import NoSpace, Stale, WrongState
from ecosystems.upstream.errors import UpstreamError
from web import throttle
from web.api.unsupported import NOTHING_HERE
from web.unavailable import RETRY_SECONDS, UNAVAILABLE, unavailable_message

logger = logging.getLogger(__name__)


def from_api_error(request: HttpRequest, error: ApiError) -> ApiError:
    """As it is; a refusal stands in the audit log, too."""
    if error.status == 403:
        caller = getattr(request, "auth", None)
        user = caller.user if isinstance(caller, Caller) else None
        audit.record_refusal(request, user, error.message)
    return error


def from_too_many(request: HttpRequest, error: TooMany) -> ApiError:
    return ApiError(429, error.message, retry_after=error.retry_after)


def from_throttled(request: HttpRequest, error: Throttled) -> ApiError:
    return from_too_many(request, throttle.refusal(request, error))


def from_not_found(request: HttpRequest, error: Http404) -> ApiError:
    return ApiError(404, NOTHING_HERE)


def from_unavailable(request: HttpRequest, error: Exception) -> ApiError:
    """503 with the time to wait: the database or Redis is busy, which passes."""
    logger.error("The database or Redis did not answer: %s", error)
    return ApiError(503, unavailable_message(error), retry_after=RETRY_SECONDS)


def from_http_error(request: HttpRequest, error: HttpError) -> ApiError:
    # ninja says "Unauthorized", which does not say what to do.
    message = "Sign in, or send a valid token." if error.status_code == 401 else str(error)
    return ApiError(error.status_code, message)


def from_broken_form(request: HttpRequest, error: MultiPartParserError) -> ApiError:
    """400: the parts of a multipart body cannot be told apart (RFC 7578)."""
    return ApiError(400, f"The body is no multipart form: {error}")


def from_suspicious(request: HttpRequest, error: SuspiciousOperation) -> ApiError:
    # Django's own text names a setting, which clients do not know.
    if isinstance(error, RequestDataTooBig):
        size = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 2**20
        return ApiError(413, f"The body is larger than {size} MiB.")
    return ApiError(400, "The request cannot be read.")


def from_invalid_request(request: HttpRequest, error: ValidationError) -> ApiError:
    """422 with every field that pydantic refuses."""
    fields: dict[str, list[str]] = {}
    for problem in error.errors:
        # ("body", "body", "filters", "date_from"): where, the parameter's name, then the field.
        path = [str(step) for step in problem["loc"]]
        name = ".".join(path[2:] if len(path) > 2 else path[1:])
        unknown = problem["type"] == "extra_forbidden"
        sentence = "This field is unknown." if unknown else f"{problem['msg']}."
        fields.setdefault(name or "body", []).append(sentence)
    return _unprocessable(fields)


def from_invalid_model(request: HttpRequest, error: InvalidModel) -> ApiError:
    """422 with every field that our own checks refuse."""
    fields = error.message_dict if hasattr(error, "error_dict") else {"body": error.messages}
    return _unprocessable(fields)


def from_wrong_state(request: HttpRequest, error: WrongState) -> ApiError:
    """409; the run that is in the way is named, so that scripts can wait for it."""
    if error.run_id is None:
        return ApiError(409, str(error))
    return ApiError(409, str(error), run_id=error.run_id)


def from_stale(request: HttpRequest, error: Stale) -> ApiError:
    return ApiError(412, str(error))


def from_upstream_error(request: HttpRequest, error: UpstreamError) -> ApiError:
    return ApiError(502, str(error))


def from_no_space(request: HttpRequest, error: NoSpace) -> ApiError:
    return ApiError(507, str(error))


def _unprocessable(fields: dict[str, list[str]]) -> ApiError:
    first = next(iter(fields))
    return ApiError(422, f"{first}: {fields[first][0]}", fields=fields)


HANDLERS: Mapping[type[Exception], Callable[[HttpRequest, Any], ApiError]] = {
    ApiError: from_api_error,
    TooMany: from_too_many,
    Throttled: from_throttled,
    Http404: from_not_found,
    **dict.fromkeys(UNAVAILABLE, from_unavailable),
    HttpError: from_http_error,
    SuspiciousOperation: from_suspicious,
    MultiPartParserError: from_broken_form,
    ValidationError: from_invalid_request,
    InvalidModel: from_invalid_model,
    WrongState: from_wrong_state,
    Stale: from_stale,
    UpstreamError: from_upstream_error,
    NoSpace: from_no_space,
}
