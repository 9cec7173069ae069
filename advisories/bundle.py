"""One file with everything, for servers without a network: export and import.

A zip file whose members are in the sources' own formats: `osv.ndjson` and `nvd.ndjson` (a record
a line), `mapping.json` and `mapping-by-hand.json` (parselmouth's form), `curations.ndjson`, and
`manifest.json` with the size and SHA-256 of each of them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from django.utils import timezone

from advisories import archives
from advisories.compression import decompress
from advisories.formats.report import LARGEST_RECORD, BadRecord
from advisories.lease import Lease
from advisories.models import Curation, Mapping, Record, Source
from advisories.spool import BadArchive, Spool
from ecosystems.progress import Stop

FORMAT = "advisory-bundle"
VERSION = 1
OSV, NVD = "osv.ndjson", "nvd.ndjson"
MAPPING, BY_HAND = "mapping.json", "mapping-by-hand.json"
CURATIONS = "curations.ndjson"
MEMBERS = (OSV, NVD, MAPPING, BY_HAND, CURATIONS)

LARGEST_MANIFEST = 1 << 20
LARGEST_MEMBER = 16 << 30
_CHUNK = 500


class Member(msgspec.Struct):
    """What the manifest says of a member."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct):
    """`manifest.json`."""

    format: str
    version: int
    created: dt.datetime
    members: list[Member]


class CurationLine(msgspec.Struct, kw_only=True):
    """One line of `curations.ndjson`: the fields of `Curation`."""

    advisory: str
    family: str
    package: str
    status: str
    author: str
    created_at: dt.datetime
    spec: str = ""
    filename: str = ""
    reason: str = ""
    document: str = ""


_FIELDS = CurationLine.__struct_fields__


def write(path: Path, lease: Lease) -> Manifest:
    """Export everything to `path`; the lease keeps imports away meanwhile."""
    texts: dict[str, Iterable[bytes]] = {
        OSV: _records(Source.OSV, lease),
        NVD: _records(Source.NVD, lease),
        MAPPING: _mapping(by_hand=False),
        BY_HAND: _mapping(by_hand=True),
        CURATIONS: _curations(),
    }
    members = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, blocks in texts.items():
            digest, size = hashlib.sha256(), 0
            # The size is not known before the member is written, and OSV's may pass 4 GiB.
            with archive.open(name, "w", force_zip64=True) as file:
                for block in blocks:
                    file.write(block)
                    digest.update(block)
                    size += len(block)
            members.append(Member(name, size, digest.hexdigest()))
        manifest = Manifest(FORMAT, VERSION, timezone.now(), members)
        # Last, because it states the size and digest of what was written before it.
        archive.writestr(archives.MANIFEST, msgspec.json.encode(manifest))
    return manifest


def read(path: Path, spools: dict[str, Spool], *, stop: Stop) -> None:
    """Check a bundle as a whole, and put its members' lines into the spools of their names."""
    with archives.opened(path) as archive:
        manifest = _manifest(archive)
        names = [member.name for member in manifest.members]
        for name in names:
            # A member that is named twice would be imported twice; one that is unknown comes from
            # a later version.
            if name not in spools or names.count(name) > 1 or name not in archive.namelist():
                raise BadArchive(f"The bundle's manifest names {name[:100]!r}, which is not read.")
        for member in manifest.members:
            _read_member(archive, member, spools[member.name], stop=stop)


def curation_line(text: bytes) -> CurationLine:
    """A line of `curations.ndjson`; `BadRecord` where it is none."""
    try:
        return msgspec.json.decode(text, type=CurationLine)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord(f"it is not a curation: {error}", "A curation") from error


def _manifest(archive: zipfile.ZipFile) -> Manifest:
    text = b"".join(archives.member(archive, archives.MANIFEST, cap=LARGEST_MANIFEST))
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArchive(f"The bundle's manifest cannot be read: {error}.") from error
    if manifest.format != FORMAT or manifest.version != VERSION:
        raise BadArchive(f"The bundle is not of the format {FORMAT} {VERSION}.")
    return manifest


def _read_member(archive: zipfile.ZipFile, member: Member, spool: Spool, *, stop: Stop) -> None:
    digest, size = hashlib.sha256(), 0

    def watched() -> Iterator[bytes]:
        nonlocal size
        for block in archives.member(archive, member.name, cap=LARGEST_MEMBER):
            stop()
            digest.update(block)
            size += len(block)
            yield block

    if member.name.endswith(".ndjson"):
        for line in _lines(watched()):
            if line is None:
                spool.skip(f"{member.name}, line {spool.count + 1}")
            elif line:
                spool.add(line)
    else:
        text = b"".join(watched())
        if len(text) <= LARGEST_RECORD:
            spool.add(text)
        else:
            spool.skip(member.name)
    # Nothing is in the database yet: the spools are dropped with the error.
    if size != member.size or digest.hexdigest() != member.sha256:
        raise BadArchive(f"The bundle is damaged: {member.name} is not what its manifest states.")


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Lines without their ends; None for one that is longer than any record."""
    held, passing = bytearray(), False
    for block in blocks:
        *ends, start = block.split(b"\n")
        for end in ends:
            held += end
            yield None if passing or len(held) > LARGEST_RECORD else bytes(held)
            held, passing = bytearray(), False
        held += start
        # A line without an end would otherwise fill the memory: its bytes are dropped as they
        # come.
        if len(held) > LARGEST_RECORD:
            held, passing = bytearray(), True
    if held or passing:
        yield None if passing else bytes(held)


def _records(source: Source, lease: Lease) -> Iterator[bytes]:
    bodies = Record.objects.filter(source=source).order_by("pk").values_list("body", flat=True)
    for number, body in enumerate(bodies.iterator(_CHUNK)):
        # An export takes minutes: without renewal the lease would expire, and an import would
        # begin.
        if number % _CHUNK == 0:
            lease.renew()
        text = decompress(bytes(body))
        # A record may be spread over lines; inside of its texts there are none.
        yield (msgspec.json.format(text, indent=-1) if b"\n" in text else text) + b"\n"


def _mapping(*, by_hand: bool) -> Iterator[bytes]:
    rows = Mapping.objects.filter(by_hand=by_hand).order_by("conda_name")
    yield msgspec.json.encode(dict(rows.values_list("conda_name", "projects")))


def _curations() -> Iterator[bytes]:
    encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
    for values in Curation.objects.order_by("pk").values(*_FIELDS).iterator(_CHUNK):
        yield encode(values) + b"\n"
