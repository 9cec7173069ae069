"""The REST API: one NinjaAPI that mounts every router, and answers every error in one shape."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI
from ninja.errors import HttpError

from accounts.errors import ApiError
from web import throttle
from web.api import (
    accounts,
    advisory_data,
    audit,
    channels,
    curations,
    cves,
    error_handlers,
    history,
    mirrors,
    packages,
    previews,
    readership,
    revisions,
    runs,
    unsupported,
    vex,
)
from web.api.authentication import AUTH
from web.api.parsing import StorableParser, TextIdRenderer
from web.pages import errors as pages
from web.unavailable import UNAVAILABLE

ROUTERS = (
    accounts, audit, channels, packages, revisions, readership, history, mirrors, runs, previews,
    # Before the advisories: an id could be “curations”.
    curations, cves, advisory_data, vex,
    # The last: it answers every address that no other has.
    unsupported,
)  # fmt: skip


class Api(NinjaAPI):
    """NinjaAPI whose every error has our shape, also those that no operation sees."""

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        urls = super()._get_urls()
        for url in urls:
            if isinstance(url, URLPattern) and url.name != "api-root":
                url.callback = self._with_shaped_errors(url.callback)
            if isinstance(url, URLPattern) and url.name == "openapi-json":
                url.callback = _built_once(url.callback)
        return urls

    def _with_shaped_errors(
        self, view: Callable[..., HttpResponseBase]
    ) -> Callable[..., HttpResponseBase]:
        @functools.wraps(view)
        def shaped(request: HttpRequest, **kwargs: object) -> HttpResponseBase:
            # PostgreSQL takes no NUL in a text, so nothing can have such a name.
            if any("\x00" in str(value) for value in kwargs.values()):
                return self.respond(request, ApiError(404, unsupported.NOTHING_HERE))
            try:
                response = view(request, **kwargs)
            except UNAVAILABLE as error:
                # Raised before the operation, where ninja handles nothing: by authentication, and
                # by the throttle.
                return self.respond(request, error_handlers.from_unavailable(request, error))
            return self._not_allowed(request, response) if response.status_code == 405 else response

        return shaped

    def _not_allowed(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
        path = request.path.partition("/api/")[2]
        sentence = unsupported.explain(request.method or "GET", path)
        message = sentence or f"This address does not support {request.method}."
        answer = self.respond(request, ApiError(405, message))
        answer["Allow"] = response["Allow"]
        return answer

    def get_openapi_schema(self, **options: Any) -> Any:
        schema = super().get_openapi_schema(**options)
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                # One function serves channels and subchannels; `sub` is of the latter only.
                operation["parameters"] = [
                    {**parameter, "required": True} if parameter["in"] == "path" else parameter
                    for parameter in operation.get("parameters", [])
                    if parameter["in"] != "path" or f"{{{parameter['name']}}}" in path
                ]
        return schema

    def on_exception(self, request: HttpRequest, exc: Any) -> HttpResponse:
        # ninja wraps what a parser raises; the cause is what we want to tell.
        if isinstance(exc, HttpError) and isinstance(exc.__cause__, ApiError | SuspiciousOperation):
            exc = exc.__cause__
        return super().on_exception(request, exc)

    def respond(self, request: HttpRequest, error: ApiError) -> HttpResponse:
        """The answer for an error, with the headers that HTTP asks for beside its status."""
        response = self.create_response(request, error.body(), status=error.status)
        # RFC 9110, 15.5.6: Allow must be there; it is empty where no method is allowed.
        if error.status == 405:
            response["Allow"] = ""
        # RFC 9110, 15.5.2: a 401 must say how to authenticate.
        if error.status == 401:
            response["WWW-Authenticate"] = 'Bearer realm="api"'
        if error.retry_after is not None:
            response["Retry-After"] = str(error.retry_after)
        return response


def _built_once(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view whose answer is the same for everybody until the server is another one."""
    content: list[bytes] = []

    @functools.wraps(view)
    def cached(request: HttpRequest, **kwargs: object) -> HttpResponseBase:
        if request.method != "GET":
            return view(request, **kwargs)
        # It depends on the code alone; ninja would build it anew for every request.
        if not content:
            response = view(request, **kwargs)
            if not isinstance(response, HttpResponse) or response.status_code != 200:
                return response
            content[:] = [response.content]
        return HttpResponse(content[0], content_type="application/json; charset=utf-8")

    return cached


api = Api(
    title="Mirror server",
    version=settings.VERSION,
    description="Mirrors of package repositories, filtered and always complete. "
    "Sign in at /auth/login or send a token as X-Auth.",
    auth=AUTH,
    parser=StorableParser(),
    throttle=[throttle.Writes()],
    renderer=TextIdRenderer(),
)


@api.get("/system", auth=None, tags=["system"])
def system(request: HttpRequest) -> dict[str, str]:
    """Which service this is, and its version."""
    return {"service_name": "repo", "version": settings.VERSION}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 for what no view sees: JSON for the API, a page for everybody else."""
    if not request.path.startswith("/api/"):
        return pages.bad_request(request, exception)
    detail = "The request cannot be read."
    if isinstance(exception, DisallowedHost):
        detail = "This server has another name; its PUBLIC_URL says which one clients use."
    return api.respond(request, ApiError(400, detail))


def _handle(convert: Callable[[HttpRequest, Any], ApiError]) -> Callable[..., HttpResponse]:
    # Not a lambda in the loop below: all would call the last converter.
    return lambda request, exc: api.respond(request, convert(request, exc))


for exception_class, converter in error_handlers.HANDLERS.items():
    api.add_exception_handler(exception_class, _handle(converter))
for module in ROUTERS:
    api.add_router("", module.router)
