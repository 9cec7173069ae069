"""docs/configuration.md beside what mirrorserver/environment.py reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mirrorserver import environment
from mirrorserver.pip_index import python_index
from mirrorserver.variables import BadEnvironment
from tests.mirrorserver.recorded import Recorded

TEXT = (environment.PROJECT / "docs" / "configuration.md").read_text()
NAME = re.compile(r"`([A-Z][A-Z0-9_]+)`")
COMPUTED = frozenset({"PUBLIC_URL"})
"""Documented as a formula."""
FILES = frozenset({"CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"})
"""Their examples name files that exist on no machine of ours."""


@dataclass(frozen=True)
class Row:
    """One line of a table: a variable that can be set."""

    variable: str
    default: str
    example: str


def rows() -> Iterator[Row]:
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("| `") and len(cells) == 6:
            yield Row(cells[1].strip("`"), cells[2], cells[3].strip("`"))


def first_cells() -> list[str]:
    lines = [line for line in TEXT.splitlines() if line.startswith("| `")]
    return [name for line in lines for name in NAME.findall(line.split("|")[1])]


def test_every_variable_stands_in_the_tables_once_and_no_other_does(tmp_path: Path) -> None:
    variables = Recorded(DATA=str(tmp_path / "var"))
    environment.read(variables)
    assert sorted(first_cells()) == sorted(variables.names)


def test_reserved_names_stand_in_the_last_table_only() -> None:
    reserved = NAME.findall(TEXT.partition("## Reserved names")[2])
    assert set(reserved) == set(environment.PLANNED)
    assert not {row.variable for row in rows()} & set(environment.PLANNED)


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.variable)
def test_the_documented_default_is_the_one_that_acts(row: Row, tmp_path: Path) -> None:
    acting = environment.read({"DATA": str(tmp_path / "var")})
    stated = re.fullmatch(r"`([^`]+)`", row.default)
    if stated is None or row.variable in {"DATA", *COMPUTED}:
        return
    field = {"TZ": "time_zone"}.get(row.variable, row.variable.lower())
    value = getattr(acting, field)
    words = {True: "1", False: "0"}[value] if isinstance(value, bool) else f"{value}"
    assert stated[1] == words.removesuffix(".0")


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.variable)
def test_the_example_is_accepted(row: Row, tmp_path: Path) -> None:
    name, _, value = row.example.partition("=")
    assert name == row.variable
    data = str(tmp_path / "var")
    if name in FILES:
        with pytest.raises(BadEnvironment, match=re.escape(f"{name}={value!r}")):
            environment.read({"DATA": data, name: value})
    elif name != "DATA":
        environment.read({"DATA": data, name: value})


def test_every_host_that_is_allowed_by_default_is_named() -> None:
    hosts = {
        urlsplit(address).hostname
        for address in environment.DEFAULT_UPSTREAM_ALLOW
        if address not in python_index().allow
    }
    section = TEXT.partition("The\ndefault is:")[2].partition("Private and loopback")[0]
    assert hosts == set(re.findall(r"`([a-z0-9.-]+\.[a-z]+)`", section))
