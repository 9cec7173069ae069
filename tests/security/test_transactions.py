"""Attack: long lists of specs that keep the database locked while they are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client

from channels import filter_forms, rules
from ecosystems import registry
from filters.rules import compile_rules
from mirrors.models import Mirror
from tests import scene
from tests.web.client import Api

pytestmark = pytest.mark.django_db(transaction=True)

SPECS = [f"package-{number} >=1.{number % 9},<2" for number in range(50)]
KINDS = ("conda", "python_simple")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, settings: LazySettings) -> Iterator[list[str]]:
    """Every spec that is read; it fails inside a transaction."""
    settings.UPSTREAM_ALLOW = ("https://mirror.example.org",)
    rules._rules.clear()
    texts: list[str] = []
    for kind in registry.kinds():
        ecosystem = registry.get(kind)
        parse = ecosystem.parse_spec

        def outside(text: str, parse: Any = parse) -> Any:
            assert not connection.in_atomic_block, f"{text} is read inside a transaction"
            texts.append(text)
            return parse(text)

        monkeypatch.setattr(ecosystem, "parse_spec", outside)

    def compiled(*args: Any, **kwargs: Any) -> Any:
        assert not connection.in_atomic_block, "rules are compiled inside a transaction"
        return compile_rules(*args, **kwargs)

    for module in (filter_forms, rules):
        monkeypatch.setattr(module, "compile_rules", compiled)
    yield texts
    rules._rules.clear()


@pytest.mark.parametrize("kind", KINDS)
def test_no_spec_is_read_inside_a_transaction(read: list[str], kind: str) -> None:
    scene.channel()
    api = Api(scene.admin())
    source = "https://mirror.example.org/main"
    body = {"mirror_name": "m", "source_root": source, "mirror_type": kind}
    mirrors = "/channels/main/mirrors"
    assert api.put("/channels/main", {"filters": {"exclude_specs": SPECS}})[0] == 200
    read.clear()
    assert api.post(mirrors, {**body, "filters": {"exclude_specs": SPECS}})[0] == 201
    # Once for the mirror's filter and once for the channel's.
    assert len(read) <= 2 * len(SPECS)
    rules._rules.clear()
    changed = {"filters": {"include_specs": SPECS, "exclude_specs": SPECS}}
    assert api.put(f"{mirrors}/m", changed)[0] == 202
    rules._rules.clear()
    read.clear()
    assert api.put(f"{mirrors}/m", {"cron": "1 2 * * *"})[0] == 202
    assert read == [], "a change of something else reads lists that decide nothing here"
    rules._rules.clear()
    assert api.put("/channels/main", {"filters": {"only_specs": SPECS}})[0] == 200
    assert api.post("/channels", {"name": "b", "filters": {"exclude_specs": SPECS}})[0] == 201
    assert Mirror.objects.get(name="m").filter.terms["include_specs"]


def test_the_pages_read_no_spec_inside_a_transaction_either(read: list[str]) -> None:
    scene.channel()
    client = Client()
    client.force_login(scene.admin())
    lines = "\n".join(SPECS)
    form = {
        "mirror_mode": "passive", "mirror_name": "m", "mirror_type": "conda",
        "source_root": "https://mirror.example.org/main", "frequency": "0 0 * * *",
        "exclude_specs": lines, "cron_timezone": "UTC", "subdirs": ["noarch"],
    }  # fmt: skip
    made = client.post("/channels/main/mirrors/create/", form)
    assert made.status_code == 302, made.content.decode()
    mirror = Mirror.objects.get(name="m")
    settings = {"description": "d", "privacy": "public", "exclude_specs": lines, "version": 1}
    assert client.post("/channels/main/settings/", settings).status_code == 302
    rules._rules.clear()
    edited = client.post(f"/channels/main/mirrors/{mirror.pk}/edit/", {**form, "version": 1})
    assert edited.status_code == 302, edited.content.decode()
    assert read
