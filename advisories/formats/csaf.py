"""CSAF documents (OASIS CSAF 2.0), read for the statuses of their products."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from advisories.formats import purl
from advisories.formats.openvex import Read
from advisories.formats.report import BadRecord, check_id, decode, shown
from advisories.formats.statement import (
    FAMILIES,
    LONGEST_REASON,
    MOST_STATEMENTS,
    Statement,
    Status,
    scope,
)

MOST_PRODUCTS = 200_000
_STATUSES = (
    ("known_not_affected", Status.CLEARED),
    ("fixed", Status.MITIGATED),
    ("first_fixed", Status.MITIGATED),
    ("known_affected", Status.ACTIVE),
    ("first_affected", Status.ACTIVE),
    ("last_affected", Status.ACTIVE),
    ("under_investigation", Status.REPORTED),
)


class _Helper(msgspec.Struct):
    purl: str = ""


class _Product(msgspec.Struct):
    product_id: str
    helper: _Helper | None = msgspec.field(default=None, name="product_identification_helper")


class _Relationship(msgspec.Struct):
    product_reference: str
    full_product_name: _Product


class _Branch(msgspec.Struct):
    product: _Product | None = None
    branches: list[_Branch] = []


class _Tree(msgspec.Struct):
    branches: list[_Branch] = []
    full_product_names: list[_Product] = []
    relationships: list[_Relationship] = []


class _Note(msgspec.Struct):
    product_ids: list[str] = []
    details: str = ""
    label: str = ""


class _Id(msgspec.Struct):
    text: str = ""


class _Vulnerability(msgspec.Struct):
    cve: str = ""
    ids: list[_Id] = []
    product_status: dict[str, list[str]] = {}
    flags: list[_Note] = []
    threats: list[_Note] = []


class _Publisher(msgspec.Struct):
    name: str


class _Tracking(msgspec.Struct):
    id: str


class _Document(msgspec.Struct):
    publisher: _Publisher
    tracking: _Tracking
    csaf_version: str


class CSAF(msgspec.Struct):
    """The fields of a document that are read."""

    document: _Document
    product_tree: _Tree = msgspec.field(default_factory=_Tree)
    vulnerabilities: list[msgspec.Raw] = []


_DECODER = msgspec.json.Decoder(CSAF)
_ITEM = msgspec.json.Decoder(_Vulnerability)


def parse(raw: bytes) -> Read:
    """Read a document; `BadRecord` where it is none. A broken vulnerability costs no other."""
    document = decode(raw, CSAF, _DECODER)
    packages = _packages(document.product_tree)
    tracking = document.document.tracking.id
    read = Read(shown(document.document.publisher.name), shown(tracking), [], [])
    for number, item in enumerate(document.vulnerabilities, start=1):
        try:
            entry = decode(bytes(item), _Vulnerability, _ITEM)
            for statement in _statements(entry, packages):
                read.statements.append(statement)
                # Inside of an entry, too: one vulnerability may name every product of the
                # document.
                if len(read.statements) > MOST_STATEMENTS:
                    break
        except BadRecord as error:
            error.id = error.id or f"vulnerability {number}"
            read.broken.append(error)
        if len(read.statements) > MOST_STATEMENTS:
            raise BadRecord(f"it makes more than {MOST_STATEMENTS} statements about packages")
    return read


def _packages(tree: _Tree) -> dict[str, purl.Purl]:
    """Products that a channel here can list, by their id in the document."""
    packages: dict[str, purl.Purl] = {}
    for count, product in enumerate(_products(tree)):
        if count >= MOST_PRODUCTS:
            raise BadRecord(f"it has more than {MOST_PRODUCTS} products")
        package = purl.parse(product.helper.purl) if product.helper else None
        if package is not None and package.ecosystem in FAMILIES:
            packages[product.product_id] = package
    for relation in tree.relationships:
        # "numpy as a part of Application 1": a statement about it is one about numpy.
        package = packages.get(relation.product_reference)
        if package is not None:
            packages.setdefault(relation.full_product_name.product_id, package)
    return packages


def _products(tree: _Tree) -> Iterator[_Product]:
    yield from tree.full_product_names
    yield from (relation.full_product_name for relation in tree.relationships)
    # A stack instead of recursion: how deep branches are nested is the document's to say.
    waiting = list(tree.branches)
    while waiting:
        branch = waiting.pop()
        waiting.extend(branch.branches)
        if branch.product is not None:
            yield branch.product


def _statements(entry: _Vulnerability, packages: dict[str, purl.Purl]) -> Iterator[Statement]:
    advisory = check_id(entry.cve or next((id.text for id in entry.ids), ""))
    reasons = _reasons(entry)
    # A product in contradicting groups is against the specification (6.1.6), so their order here
    # decides nothing.
    for key, status in _STATUSES:
        for product in entry.product_status.get(key, ()):
            package = packages.get(product)
            if package is not None:
                spec, filename = scope(package)
                reason = shown(reasons.get(product, ""), LONGEST_REASON)
                family = FAMILIES[package.ecosystem]
                yield Statement(advisory, family, package.name, status, spec, filename, reason)


def _reasons(entry: _Vulnerability) -> dict[str, str]:
    """What a document says of the status of each product; long texts are cut."""
    reasons: dict[str, str] = {}
    for note in (*entry.flags, *entry.threats):
        for product in note.product_ids:
            before = reasons.get(product, "")
            if len(before) < LONGEST_REASON:
                text = (note.label or note.details)[:LONGEST_REASON]
                reasons[product] = f"{before} {text}".strip()
    return reasons
