"""The REST API: one NinjaAPI that mounts each app's router, and the shape of every error."""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import DisallowedHost, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as Invalid
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI
from ninja.errors import HttpError, Throttled, ValidationError
from ninja.parser import Parser
from ninja.renderers import JSONRenderer
from redis import RedisError

from accounts import audit
from accounts.caller import Caller
from accounts.errors import ApiError
from accounts.limits import TooMany
from channels.errors import NoSpace, WrongState
from channels.filter_forms import Stale
from ecosystems.upstream.errors import UpstreamError
from web import throttle
from web.api.absent import router as absent
from web.api.absent import why
from web.api.accounts import router as accounts
from web.api.audit import router as audit_log
from web.api.authentication import AUTH
from web.api.channels import router as channels
from web.api.common import with_text_ids
from web.api.history import router as history
from web.api.mirrors import router as mirrors
from web.api.packages import router as packages
from web.api.previews import router as previews
from web.api.readership import router as readership
from web.api.revisions import router as revisions
from web.api.runs import router as runs
from web.pages import dashboard

logger = logging.getLogger(__name__)

_UNFIT = re.compile("[\x00\ud800-\udfff]")
"""What no database takes: NUL, and halves of surrogate pairs."""


class FitParser(Parser):
    """Reads bodies and queries, and refuses text that could not be stored."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        try:
            body = request.body.decode()
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ApiError(422, f"The body is not JSON: {error}.") from error
        if "\x00" in body or "\\u" in body:
            _check_fit(data)
        return cast(dict[str, Any], data)

    def parse_querydict(
        self, data: Any, list_fields: list[str], request: HttpRequest
    ) -> dict[str, Any]:
        for key, values in data.lists():
            _check_fit([key, *values])
        return super().parse_querydict(data, list_fields, request)


def _check_fit(data: Any) -> None:
    if _UNFIT.search(json.dumps(data, ensure_ascii=False)) or "\\u0000" in json.dumps(data):
        raise ApiError(
            422, "The request contains a character that cannot be stored (NUL or half a pair)."
        )


class Renderer(JSONRenderer):
    """JSON in which ids are text, whichever operation answers."""

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> Any:
        return super().render(request, with_text_ids(data), response_status=response_status)


class Api(NinjaAPI):
    """NinjaAPI whose every error has our shape, also those that no operation sees."""

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        urls = super()._get_urls()
        for url in urls:
            if isinstance(url, URLPattern) and url.name != "api-root":
                url.callback = self._shaped(url.callback)
            if isinstance(url, URLPattern) and url.name == "openapi-json":
                url.callback = _built_once(url.callback)
        return urls

    def _shaped(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @functools.wraps(view)
        def shaped(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            if any("\x00" in str(value) for value in kwargs.values()):
                return answer(request, ApiError(404, "There is nothing at this address."))
            try:
                response = view(request, **kwargs)
            except dashboard.PASSING as error:
                # From before the operation: who asks, and how often.
                return on_busy(request, error)
            return _not_allowed(request, response) if response.status_code == 405 else response

        return shaped

    def get_openapi_schema(self, **options: Any) -> Any:
        schema = super().get_openapi_schema(**options)
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                # One function serves channels and subchannels; `sub` is of the latter only.
                operation["parameters"] = [
                    {**one, "required": True} if one["in"] == "path" else one
                    for one in operation.get("parameters", [])
                    if one["in"] != "path" or f"{{{one['name']}}}" in path
                ]
        return schema

    def on_exception(self, request: HttpRequest, exc: Any) -> HttpResponse:
        # ninja wraps what a parser raises; the cause is what we want to tell.
        if isinstance(exc, HttpError) and isinstance(exc.__cause__, ApiError | SuspiciousOperation):
            exc = exc.__cause__
        return super().on_exception(request, exc)


def _built_once(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The answer of a view that is the same for everybody until the server is another one."""
    kept: list[bytes] = []

    @functools.wraps(view)
    def answered(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if request.method != "GET":
            return view(request, **kwargs)
        if not kept:
            response = view(request, **kwargs)
            if not isinstance(response, HttpResponse) or response.status_code != 200:
                return response
            kept[:] = [response.content]
        return HttpResponse(kept[0], content_type="application/json; charset=utf-8")

    return answered


api = Api(
    title="Mirror server",
    version=settings.VERSION,
    description="Mirrors of package repositories, filtered and kept whole. "
    "Sign in at /auth/login or send a token as X-Auth.",
    auth=AUTH,
    parser=FitParser(),
    throttle=[throttle.Writes()],
    renderer=Renderer(),
)


@api.get("/system", auth=None, tags=["system"])
def system(request: HttpRequest) -> dict[str, str]:
    """Which service this is, and its version."""
    return {"service_name": "repo", "version": settings.VERSION}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 for what no view sees, in the form that the asker reads."""
    if not request.path.startswith("/api/"):
        return dashboard.bad_request(request, exception)
    detail = "The request cannot be read."
    if isinstance(exception, DisallowedHost):
        detail = "This server has another name; its PUBLIC_URL says which one clients use."
    return answer(request, ApiError(400, detail))


def _not_allowed(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    sentence = why(request.method or "GET", request.path.partition("/api/")[2])
    message = sentence or f"{request.method} is not possible here."
    error = answer(request, ApiError(405, message))
    error["Allow"] = response["Allow"]
    return error


def answer(request: HttpRequest, error: ApiError) -> HttpResponse:
    response = api.create_response(request, error.body(), status=error.status)
    if error.status == 405:
        response["Allow"] = ""
    if error.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="api"'
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


@api.exception_handler(ApiError)
def on_api_error(request: HttpRequest, error: ApiError) -> HttpResponse:
    if error.status == 403:
        who = getattr(request, "auth", None)
        audit.refused(request, who.user if isinstance(who, Caller) else None, error.message)
    return answer(request, error)


@api.exception_handler(TooMany)
def on_too_many(request: HttpRequest, error: TooMany) -> HttpResponse:
    return answer(request, ApiError(429, error.message, retry_after=error.retry_after))


@api.exception_handler(Http404)
def on_not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return answer(request, ApiError(404, "There is nothing at this address."))


@api.exception_handler(Throttled)
def on_throttled(request: HttpRequest, error: Throttled) -> HttpResponse:
    return on_too_many(request, throttle.refusal(request, error))


@api.exception_handler(OperationalError)
@api.exception_handler(InterfaceError)
@api.exception_handler(RedisError)
def on_busy(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("The database or Redis did not answer: %s", error)
    return answer(request, ApiError(503, dashboard.busy(error), retry_after=dashboard.BUSY_SECONDS))


@api.exception_handler(HttpError)
def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    message = "Sign in, or send a valid token." if error.status_code == 401 else str(error)
    return answer(request, ApiError(error.status_code, message))


@api.exception_handler(SuspiciousOperation)
def on_suspicious(request: HttpRequest, error: SuspiciousOperation) -> HttpResponse:
    if isinstance(error, RequestDataTooBig):
        size = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 2**20
        return answer(request, ApiError(413, f"The body is larger than {size} MiB."))
    return answer(request, ApiError(400, "The request cannot be read."))


@api.exception_handler(ValidationError)
def on_invalid_request(request: HttpRequest, error: ValidationError) -> HttpResponse:
    fields: dict[str, list[str]] = {}
    for problem in error.errors:
        # ("body", "body", "filters", "date_from"): where, the parameter's name, then the field.
        where = [str(step) for step in problem["loc"]]
        name = ".".join(where[2:] if len(where) > 2 else where[1:])
        unknown = problem["type"] == "extra_forbidden"
        sentence = "There is no such field here." if unknown else f"{problem['msg']}."
        fields.setdefault(name or "body", []).append(sentence)
    return answer(request, _unprocessable(fields))


@api.exception_handler(Invalid)
def on_invalid(request: HttpRequest, error: Invalid) -> HttpResponse:
    fields = error.message_dict if hasattr(error, "error_dict") else {"body": error.messages}
    return answer(request, _unprocessable(fields))


@api.exception_handler(WrongState)
def on_wrong_state(request: HttpRequest, error: WrongState) -> HttpResponse:
    refusal = ApiError(409, str(error))
    if error.run_id is not None:
        refusal.extra["run_id"] = error.run_id
    return answer(request, refusal)


@api.exception_handler(Stale)
def on_stale(request: HttpRequest, error: Stale) -> HttpResponse:
    return answer(request, ApiError(412, str(error)))


@api.exception_handler(UpstreamError)
def on_upstream_error(request: HttpRequest, error: UpstreamError) -> HttpResponse:
    return answer(request, ApiError(502, str(error)))


@api.exception_handler(NoSpace)
def on_no_space(request: HttpRequest, error: NoSpace) -> HttpResponse:
    return answer(request, ApiError(507, str(error)))


def _unprocessable(fields: dict[str, list[str]]) -> ApiError:
    first = next(iter(fields))
    return ApiError(422, f"{first}: {fields[first][0]}", fields=fields)


api.add_router("", accounts)
api.add_router("", audit_log)
api.add_router("", channels)
api.add_router("", packages)
api.add_router("", revisions)
api.add_router("", readership)
api.add_router("", history)
api.add_router("", mirrors)
api.add_router("", runs)
api.add_router("", previews)
api.add_router("", absent)
