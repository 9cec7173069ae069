"""What an uploaded or fetched file is, by its content, and its records one by one.

Caps hold while bytes are decoded: what an archive says of its own sizes is not believed.
"""

from __future__ import annotations

import enum
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from advisories.formats.openvex import CONTEXT
from advisories.formats.report import LARGEST_RECORD
from advisories.spool import BadArchive, Spool
from ecosystems.conda.json_stream import JsonStream
from ecosystems.errors import BadIndex
from ecosystems.progress import Stop
from ecosystems.upstream.decode import encoding_of, open_decoded

LARGEST_JSON = 4 << 30
"""Bytes of one decoded document: a year of NVD has about 250 MB."""
LARGEST_DIRECTORY = 64 << 20
"""Bytes of a zip file's own list of its members, which `zipfile` holds in memory as objects."""
MANIFEST = "manifest.json"

_BLOCK = 1 << 20
_END = struct.Struct("<4s4H2LH")
_END_MARK = b"PK\x05\x06"
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_SIZE = 20
_LOCATOR_MARK = b"PK\x06\x07"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NVD = re.compile(rb'"format"\s*:\s*"NVD_CVE"')
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, ValueError)


class Kind(enum.StrEnum):
    """What a file holds."""

    BUNDLE = "bundle"
    OSV_ARCHIVE = "osv_archive"
    OSV_RECORD = "osv_record"
    NVD = "nvd"
    MAPPING = "mapping"
    OPENVEX = "openvex"
    CSAF = "csaf"


def recognise(path: Path, folder: Path, *, stop: Stop) -> tuple[Kind, Path]:
    """The kind of a file, and the file to read: decoded into `folder` where it is compressed.

    `BadArchive` for everything that is none of the kinds.
    """
    # The content decides, never the name: uploads have any name, and mirrors rename what they
    # serve.
    encoding = encoding_of(path)
    if encoding != "identity":
        blocks = open_decoded(path, encoding, cap=LARGEST_JSON)
        path = _copied(blocks, folder / "decoded", stop=stop)
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"PK"):
        with opened(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            # A bundle's members are JSON too, so it has to be told apart before the other kinds
            # of zip files.
            if MANIFEST in names:
                return Kind.BUNDLE, path
            if len(names) != 1:
                return Kind.OSV_ARCHIVE, path
            # NVD packs each feed as the one member of a zip file.
            blocks = member(archive, names[0], cap=LARGEST_JSON)
            path = _copied(blocks, folder / "member", stop=stop)
        with path.open("rb") as file:
            start = file.read(4096)
    return (Kind.NVD if _NVD.search(start) else _document(path)), path


def opened(path: Path) -> zipfile.ZipFile:
    """A zip file whose directory is small enough to be held; `BadArchive` for others."""
    try:
        with path.open("rb") as file:
            _check_directory(file)
        # The constructor reads the whole directory into objects, so the check has to come before
        # it.
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise BadArchive(f"The zip archive is damaged: {error}.") from error
    # `zipfile` finds out only while it reads, and then by an error of the file system.
    if any(info.header_offset < 0 for info in archive.infolist()):
        archive.close()
        raise BadArchive("The zip archive is damaged: a member lies before its beginning.")
    return archive


def member(archive: zipfile.ZipFile, name: str, *, cap: int) -> Iterator[bytes]:
    """The decoded bytes of a member in blocks; `BadArchive` where it is damaged or beyond `cap`."""
    size = 0
    try:
        with archive.open(_plain(archive, name)) as file:
            while block := file.read(_BLOCK):
                size += len(block)
                # The bytes that came out are counted: a zip bomb states a small size in its
                # header.
                if size > cap:
                    raise BadArchive(f"The member {name[:100]!r} has more than {cap} bytes.")
                yield block
    except _DAMAGE as error:
        raise BadArchive(f"The zip archive is damaged: {error}.") from error


def _small_member(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """The decoded bytes of a record; None where it has more than any record."""
    try:
        with archive.open(_plain(archive, name)) as file:
            text = file.read(LARGEST_RECORD + 1)
    except _DAMAGE as error:
        raise BadArchive(f"The zip archive is damaged: {error}.") from error
    return text if len(text) <= LARGEST_RECORD else None


def _plain(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    info = archive.getinfo(name)
    # Bit 0 says "encrypted" (APPNOTE.TXT 4.4.4). LZMA and BZIP2 members are refused: no source
    # packs its data so, and each decoder is one more that hostile bytes would reach.
    if info.flag_bits & 0x1 or info.compress_type not in _METHODS:
        raise BadArchive(f"The member {name[:100]!r} is encrypted or compressed in a rare way.")
    return info


def read_osv_archive(path: Path, spool: Spool, *, stop: Stop) -> None:
    """Put every record of a zip of JSON files into the spool."""
    with opened(path) as archive:
        # By name: ids that follow each other cost an index less.
        names = sorted({name for name in archive.namelist() if name.endswith(".json")})
        if not names:
            raise BadArchive("The zip archive holds no JSON records.")
        for number, name in enumerate(names):
            # `stop` may query the database, so it is not called for every record.
            if number % 500 == 0:
                stop()
            text = _small_member(archive, name)
            if text is None:
                spool.skip(name)
            else:
                spool.add(text)


def read_nvd(path: Path, spool: Spool, *, stop: Stop) -> None:
    """Put every element of `vulnerabilities` of an NVD feed into the spool."""
    try:
        stream = JsonStream(open_decoded(path, "identity", cap=LARGEST_JSON))
        for key in stream.members():
            if key != "vulnerabilities":
                # Passed over without being held: `cap=0` keeps nothing of a member that is not
                # needed.
                stream.value(cap=0)
                continue
            for element in stream.elements(cap=LARGEST_RECORD):
                if spool.count % 500 == 0:
                    stop()
                if element is None:
                    spool.skip(f"CVE number {spool.count + 1}")
                else:
                    spool.add(element)
    except BadIndex as error:
        raise BadArchive(f"The NVD feed cannot be read. {error}") from error


def document(path: Path) -> bytes:
    """A document that is read as a whole."""
    with path.open("rb") as file:
        text = file.read(LARGEST_RECORD + 1)
    if len(text) > LARGEST_RECORD:
        raise BadArchive(f"The document has more than {LARGEST_RECORD} bytes.")
    return text


def _document(path: Path) -> Kind:
    try:
        keys = msgspec.json.decode(document(path), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArchive(
            "This is neither a zip archive nor a JSON object, so no advisory data that is known."
        ) from error
    # A document that names its format comes before those that are known by their keys only.
    if "@context" in keys and CONTEXT.encode() in bytes(keys["@context"]):
        return Kind.OPENVEX
    if "document" in keys and b"csaf_version" in bytes(keys["document"]):
        return Kind.CSAF
    if "id" in keys and "modified" in keys:
        return Kind.OSV_RECORD
    # A mapping has no marker of its own: most of its values are lists or null.
    entries = sum(bytes(value)[:1] in (b"[", b"n") for value in keys.values())
    if entries and entries * 2 >= len(keys):
        return Kind.MAPPING  # A broken entry or two are no reason to refuse it.
    raise BadArchive(
        "The JSON object is none of: an OSV record, an NVD feed of version 2.0, a name mapping, "
        "an OpenVEX or a CSAF document."
    )


def _copied(blocks: Iterator[bytes], path: Path, *, stop: Stop) -> Path:
    try:
        with path.open("wb") as file:
            for block in blocks:
                stop()
                file.write(block)
    except BadIndex as error:
        raise BadArchive(f"The file cannot be read. {error}") from error
    return path


def _check_directory(file: BinaryIO) -> None:
    """Refuse a directory that is too large (APPNOTE.TXT 4.3.14 and 4.3.16), before it is read."""
    size = file.seek(0, 2)
    # The end record stands last, but a comment of up to 65,535 bytes may follow it.
    tail_size = min(size, _END.size + 0xFFFF + _LOCATOR_SIZE + _END_64.size)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        raise BadArchive("The zip archive is cut off: it has no end.")
    directory = _END.unpack_from(tail, at)[5]
    # `zipfile` looks for the larger form of the end exactly there, whatever the small one says.
    locator = at - _LOCATOR_SIZE
    if tail[max(locator, 0) : at].startswith(_LOCATOR_MARK):
        if locator < _END_64.size:
            raise BadArchive("The zip archive is cut off: it has no end.")
        directory = _END_64.unpack_from(tail, locator - _END_64.size)[8]
    if directory > LARGEST_DIRECTORY:
        most = f"{LARGEST_DIRECTORY:,}"
        raise BadArchive(f"The zip archive lists its members in more than {most} bytes.")
