"""What a release says of its license in its metadata file.

Rule: only what the metadata states is passed on, an expression before free text,
classifiers beside it; which family that is, is judged elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from email import message_from_bytes, policy

from ecosystems.python.body import License
from ecosystems.records import Invalid, Record

MOST_BYTES = 1 << 20
LONGEST = 300
_CLASSIFIER = "License ::"


def stated(metadata: bytes) -> License:
    """The license in a METADATA file: its text, and its classifiers as alternatives."""
    message = message_from_bytes(metadata[:MOST_BYTES], policy=policy.compat32)
    # PEP 639: an expression stands in place of the free text.
    text = _field(message.get("License-Expression")) or _field(message.get("License"))
    classifiers = [
        str(classifier).rpartition("::")[2].strip()
        for classifier in message.get_all("Classifier", [])
        if str(classifier).startswith(_CLASSIFIER) and str(classifier).count("::") > 1
    ]
    return text, " or ".join(dict.fromkeys(classifiers))


def metadata_files(records: Iterable[Record | Invalid]) -> dict[str, Record]:
    """For each version one metadata file that can be asked for and verified."""
    by_version: dict[str, Record] = {}
    for record in records:
        if isinstance(record, Record) and record.companions:
            by_version.setdefault(record.version, record.companions[0])
    return by_version


def _field(value: object) -> str:
    """A field's text; a whole license is named by its first line."""
    text = str(value or "").strip()
    first = text.partition("\n")[0].strip()[:LONGEST]
    return "" if first.upper() == "UNKNOWN" else first
