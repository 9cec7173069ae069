"""OpenVEX documents (openvex.dev, specification 0.2.0)."""

from __future__ import annotations

import msgspec

from advisories.formats import purl
from advisories.formats.report import BadRecord, check_id, decode, shown
from advisories.formats.statement import (
    FAMILIES,
    LONGEST_REASON,
    MOST_STATEMENTS,
    Statement,
    Status,
    scope,
)

CONTEXT = "https://openvex.dev/ns"

STATUSES = {
    "not_affected": Status.CLEARED,
    "affected": Status.ACTIVE,
    "fixed": Status.MITIGATED,
    "under_investigation": Status.REPORTED,
}


class _Identifiers(msgspec.Struct):
    purl: str = ""


class _Component(msgspec.Struct):
    id: str = msgspec.field(default="", name="@id")
    identifiers: _Identifiers | None = None


class _Product(_Component):
    subcomponents: list[_Component] = []


class _Vulnerability(msgspec.Struct):
    name: str = ""
    id: str = msgspec.field(default="", name="@id")


class _Statement(msgspec.Struct):
    vulnerability: str | _Vulnerability
    status: str
    products: list[_Product] = []
    justification: str = ""
    impact_statement: str = ""
    action_statement: str = ""
    status_notes: str = ""


class OpenVEX(msgspec.Struct):
    """The fields of a document that are read."""

    context: str = msgspec.field(name="@context")
    author: str
    id: str = msgspec.field(default="", name="@id")
    statements: list[msgspec.Raw] = []


_DOCUMENT = msgspec.json.Decoder(OpenVEX)
_ITEM = msgspec.json.Decoder(_Statement)


class Read(msgspec.Struct):
    """A document's statements about packages, its author, and what could not be read of it."""

    author: str
    id: str
    statements: list[Statement]
    broken: list[BadRecord]


def parse(raw: bytes) -> Read:
    """Read a document; `BadRecord` where it is none. A broken statement costs no other."""
    document = decode(raw, OpenVEX, _DOCUMENT)
    # With or without a version after it: all versions share the fields that are read.
    if not document.context.startswith(CONTEXT):
        raise BadRecord(f"its @context does not begin with {CONTEXT}")
    read = Read(shown(document.author), shown(document.id), [], [])
    for number, item in enumerate(document.statements, start=1):
        try:
            read.statements.extend(_statements(decode(bytes(item), _Statement, _ITEM)))
        except BadRecord as error:
            error.id = error.id or f"statement {number}"
            read.broken.append(error)
        if len(read.statements) > MOST_STATEMENTS:
            raise BadRecord(f"it makes more than {MOST_STATEMENTS} statements about packages")
    return read


def _statements(entry: _Statement) -> list[Statement]:
    named = entry.vulnerability
    # Documents before 0.2.0 have a plain text; where only an address is given, it ends with the
    # id.
    advisory = named if isinstance(named, str) else named.name or named.id.rpartition("/")[2]
    check_id(advisory)
    status = STATUSES.get(entry.status)
    if status is None:
        raise BadRecord(f"{shown(entry.status)!r} is not a status", advisory)
    texts = (entry.justification, entry.impact_statement, entry.action_statement)
    reason = shown(" ".join(filter(None, (*texts, entry.status_notes))), LONGEST_REASON)
    statements = []
    for product in entry.products:
        # Where a product's part is meant, the statement is about that part only.
        for component in product.subcomponents or [product]:
            package = _purl(component)
            if package is not None:
                spec, filename = scope(package)
                family = FAMILIES[package.ecosystem]
                statements.append(
                    Statement(advisory, family, package.name, status, spec, filename, reason)
                )
    return statements


def _purl(component: _Component) -> purl.Purl | None:
    """The package that a component is; None for what no channel here can list."""
    for text in (component.identifiers.purl if component.identifiers else "", component.id):
        package = purl.parse(text)
        if package is not None and package.ecosystem in FAMILIES:
            return package
    return None
