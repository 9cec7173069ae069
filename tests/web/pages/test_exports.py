"""Exports: what a spreadsheet or a program reads."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.http import Http404

from web.pages import exports


def test_a_table_has_its_head_and_no_formulas() -> None:
    text = "".join(exports.csv_lines(("id", "name"), [(1, "=cmd()"), (-2, 'a "b"')]))
    assert list(csv.reader(io.StringIO(text))) == [
        ["id", "name"],
        ["1", "'=cmd()"],
        ["-2", 'a "b"'],
    ]


@pytest.mark.parametrize("items", [[], [{"a": 1}], [{"a": 1}, {"b": "é"}]])
def test_json_is_an_array_with_an_item_on_each_line(items: list[dict[str, object]]) -> None:
    text = "".join(exports.json_lines(items))
    assert json.loads(text) == items
    assert len(text.splitlines()) == (len(items) + 2 if items else 1)


def test_half_a_surrogate_pair_can_be_sent() -> None:
    text = "".join(exports.json_lines(["\ud800"], ascii_only=True))
    assert json.loads(text.encode().decode()) == ["\ud800"]


def test_an_unknown_format_is_404() -> None:
    with pytest.raises(Http404, match="csv or json"):
        exports.check_format("xml")
