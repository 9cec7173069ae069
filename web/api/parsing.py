"""How the REST API reads requests and writes answers: text that can be stored, ids as text."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from django.http import HttpRequest
from ninja.parser import Parser
from ninja.renderers import JSONRenderer

from accounts.errors import ApiError
from web.api.schemas import with_text_ids

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What no database takes: NUL, and halves of surrogate pairs."""


class StorableParser(Parser):
    """Reads bodies and queries, and refuses text that could not be stored."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        try:
            body = request.body.decode()
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ApiError(422, f"The body is not JSON: {error}.") from error
        # Only these can bring such characters; writing every body again would take its time twice.
        if "\x00" in body or "\\u" in body:
            _check_storable(data)
        return cast(dict[str, Any], data)

    def parse_querydict(
        self, data: Any, list_fields: list[str], request: HttpRequest
    ) -> dict[str, Any]:
        for key, values in data.lists():
            _check_storable([key, *values])
        return super().parse_querydict(data, list_fields, request)


class TextIdRenderer(JSONRenderer):
    """JSON in which ids are text, whichever operation answers."""

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> Any:
        return super().render(request, with_text_ids(data), response_status=response_status)


def _check_storable(data: Any) -> None:
    if _UNSTORABLE.search(json.dumps(data, ensure_ascii=False)) or "\\u0000" in json.dumps(data):
        raise ApiError(
            422, "The request contains a character that cannot be stored (NUL or half a pair)."
        )
