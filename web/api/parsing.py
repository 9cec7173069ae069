"""How the REST API reads requests and writes answers: text that can be stored, ids as text."""

from __future__ import annotations

import json
import re

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser
from ninja.renderers import JSONRenderer

from accounts.errors import ApiError
from web.api.schemas import JsonObject, with_text_ids

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What no database takes: NUL, and halves of surrogate pairs."""


class StorableParser(Parser):
    """Reads bodies and queries, and refuses text that could not be stored."""

    def parse_body(self, request: HttpRequest) -> JsonObject:
        try:
            body = request.body.decode()
            # Any JSON comes through; ninja refuses what its schemas do not take, lists among it.
            data: JsonObject = json.loads(body)
        # RecursionError: brackets nested deeper than Python's stack.
        except (ValueError, RecursionError) as error:
            raise ApiError(422, f"The body is not JSON: {error}.") from error
        # Only these can bring such characters; writing every body again would take its time twice.
        if "\x00" in body or "\\u" in body:
            _check_storable(data)
        return data

    def parse_querydict(
        self, data: MultiValueDict[str, str], list_fields: list[str], request: HttpRequest
    ) -> JsonObject:
        for key, values in data.lists():
            # ninja reads the files of a form here, too; their names are not stored.
            _check_storable([key, *(value for value in values if isinstance(value, str))])
        return super().parse_querydict(data, list_fields, request)


class TextIdRenderer(JSONRenderer):
    """JSON in which ids are text, whichever operation answers."""

    def render(self, request: HttpRequest, data: object, *, response_status: int) -> str:
        text: str = super().render(request, with_text_ids(data), response_status=response_status)
        return text


def _check_storable(data: object) -> None:
    # json.dumps escapes NUL in any case, so the pattern alone would not see it.
    if _UNSTORABLE.search(json.dumps(data, ensure_ascii=False)) or "\\u0000" in json.dumps(data):
        raise ApiError(
            422, "The request contains a character that cannot be stored (NUL or half a pair)."
        )
