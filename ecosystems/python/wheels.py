"""Reads the METADATA out of a wheel that is here; nothing is unpacked to disk.

Rule: a wheel is a stranger's archive. Its directory, the number of its entries and the bytes
that are decoded are all bounded, and whatever is odd about it tells nothing.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from ecosystems.python.body import License
from ecosystems.python.licensing import MOST_BYTES, stated

DIRECTORY_CAP = 8 << 20
"""Bytes of a wheel's directory: more than 100,000 files."""
_END = struct.Struct("<4s4H2LH")
_END_MAGIC = b"PK\x05\x06"
# The end of a zip may be followed by a comment, whose length has two bytes.
_LONGEST_COMMENT = 65535
_PLAIN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_SUFFIX = ".dist-info/METADATA"


def license_in(path: Path) -> License | None:
    """The license that a wheel's metadata states; None where that cannot be read."""
    metadata = metadata_in(path)
    return None if metadata is None else stated(metadata)


def metadata_in(path: Path) -> bytes | None:
    """The METADATA of a wheel, its first MiB at most; None where there is none to be read."""
    try:
        with path.open("rb") as file:
            # Before `zipfile`, which reads the whole directory into memory.
            if not 0 < _directory_size(file) <= DIRECTORY_CAP:
                return None
            with zipfile.ZipFile(file) as wheel:
                return _metadata(wheel)
    except (OSError, zipfile.BadZipFile, zlib.error, struct.error, ValueError, RuntimeError):
        return None
    except (NotImplementedError, EOFError, KeyError):
        return None


def whole_metadata_in(path: Path) -> bytes | None:
    """The same, but None for one that is not read to its end."""
    metadata = metadata_in(path)
    return metadata if metadata is not None and len(metadata) < MOST_BYTES else None


def _metadata(wheel: zipfile.ZipFile) -> bytes | None:
    files = [
        file_info
        for file_info in wheel.infolist()
        if file_info.filename.endswith(_SUFFIX) and file_info.filename.count("/") == 1
    ]
    # The binary distribution format: one .dist-info folder at the top.
    if len(files) != 1:
        return None
    (file_info,) = files
    if file_info.compress_type not in _PLAIN_METHODS or file_info.flag_bits & _ENCRYPTED:
        return None
    with wheel.open(file_info) as file:
        return file.read(MOST_BYTES)


def _directory_size(file: BinaryIO) -> int:
    """Bytes of the directory, as the end of the archive states them; -1 for no archive."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size - _LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(_END_MAGIC)
    if at < 0 or len(tail) - at < _END.size:
        return -1
    return int(_END.unpack_from(tail, at)[5])
