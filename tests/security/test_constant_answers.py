"""Attack: ask again and again for what costs much to build."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from web.api.root import Api


@pytest.mark.django_db
def test_the_openapi_document_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    build = Api.get_openapi_schema

    def counted(self: Api, **options: Any) -> Any:
        built.append(1)
        return build(self, **options)

    monkeypatch.setattr(Api, "get_openapi_schema", counted)
    answers = [Client().get("/api/openapi.json") for _ in range(5)]
    assert len(built) <= 1
    assert len({answer.content for answer in answers}) == 1
    assert json.loads(answers[0].content)["paths"]
    assert answers[0]["Content-Type"].startswith("application/json")
