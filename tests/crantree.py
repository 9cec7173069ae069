"""A CRAN-like repository in memory: real source packages, real indexes, on a real port.

    with FakeCran() as cran:
        cran.add("tiny", "1.0", imports="base64x (>= 1.0)")
        cran.publish()
        ... cran.repository + "/src/contrib/PACKAGES.gz" ...

Adding a newer version moves the older one to the archive, as CRAN does. The
packages are complete enough for R to install and load them. The tables in
`Meta` are written here as R would, without the product's own writer.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import ssl
import struct
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass

from tests.upstream import FakeUpstream

BUILT = 1_700_000_000
"""Seconds: when packages that name no time were published, 2023-11-14."""
FORMS = ("plain", "gz")
SOURCE = "src/contrib"
TRAP = b"X\ndo not read this"
_NIL = struct.pack(">i", 254)


@dataclass(frozen=True)
class Made:
    """A version: its file, its stanza, and when it was published."""

    name: str
    filename: str
    body: bytes
    stanza: str
    time: int


class FakeCran(FakeUpstream):
    """A repository below `root`; `add` what it has, then `publish`."""

    def __init__(
        self, root: str = "/cran", *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(host=host, tls=tls)
        self.root = root
        self._current: dict[str, dict[str, Made]] = {SOURCE: {}}
        self._archived: dict[str, Made] = {}
        self._publications = 0

    @property
    def repository(self) -> str:
        """The repository's address."""
        return f"{self.url}{self.root}"

    def path(self, filename: str, section: str = SOURCE) -> str:
        """Where a file of a section lies on the server."""
        return f"{self.root}/{section}/{filename}"

    def archive_path(self, filename: str) -> str:
        """Where an archived file lies on the server."""
        return self.path(f"Archive/{filename.partition('_')[0]}/{filename}")

    def add(
        self,
        name: str,
        version: str,
        *,
        license: str = "GPL-2",
        imports: str = "",
        time: int = BUILT,
        md5: bool = True,
        payload: int = 0,
        extra: str = "",
        section: str = SOURCE,
    ) -> str:
        """Build a package and list it at the next `publish`; returns its file name.

        `extra`: further lines of the stanza. Binaries hold what a source package does.
        """
        extension = _extension(section)
        fields = {
            "Package": name,
            "Version": version,
            "Title": f"{name} for Tests",
            "Description": "Returns its own version.",
            "Author": "Nobody",
            "Maintainer": "Nobody <nobody@example.org>",
            "Imports": imports,
            "License": license,
        }
        made = _source(name, version, fields, time=time, payload=payload)
        listed = {key: fields[key] for key in ("Package", "Version", "Imports", "License")}
        if md5:
            listed["MD5sum"] = hashlib.md5(made).hexdigest()
        listed["NeedsCompilation"] = "no"
        stanza = "".join(f"{key}: {value}\n" for key, value in listed.items() if value) + extra
        filename = f"{name}_{version}{extension}"
        current = self._current.setdefault(section, {})
        if section == SOURCE:
            for old in [one for one in current.values() if one.name == name]:
                self.archive(old.filename)
        current[filename] = Made(name, filename, made, stanza, time)
        self.set(self.path(filename, section), made)
        return filename

    def archive(self, filename: str) -> None:
        """Move a current version to the archive, at once; the indexes follow at `publish`."""
        old = self._current[SOURCE].pop(filename)
        self._archived[filename] = old
        self.remove(self.path(filename))
        self.set(self.archive_path(filename), old.body)

    def body(self, filename: str, section: str = SOURCE) -> bytes:
        """The bytes of a file, current or archived."""
        found = self._current[section].get(filename) or self._archived[filename]
        return found.body

    def index(self, section: str = SOURCE) -> str:
        """The text of a section's PACKAGES."""
        current = self._current[section]
        return "\n".join(current[name].stanza for name in sorted(current))

    def publish(
        self, *, forms: Iterable[str] = FORMS, meta: bool = True, trap: bool = True
    ) -> None:
        """Write the indexes of all sections, in these forms and no others.

        `trap`: a PACKAGES.rds that nobody may read, and less pass on.
        """
        wanted = set(forms)
        self._publications += 1
        moment = BUILT + 60.0 * self._publications
        for section in self._current:
            text = self.index(section).encode()
            made = {
                "PACKAGES": text if "plain" in wanted else None,
                "PACKAGES.gz": gzip.compress(text, mtime=0) if "gz" in wanted else None,
                "PACKAGES.rds": TRAP,
            }
            for name, data in made.items():
                if data is None:
                    self.remove(self.path(name, section))
                else:
                    self.set(self.path(name, section), data, last_modified=moment)
        if meta:
            current = self._current[SOURCE].values()
            self._set_meta("current", _table([(one.filename, one) for one in current]))
            self._set_meta("archive", self._archive_tables())

    def _set_meta(self, name: str, data: bytes) -> None:
        head = b"X\n" + struct.pack(">iiii", 3, 0x00040500, 0x00030500, 5) + b"UTF-8"
        self.set(self.path(f"Meta/{name}.rds"), gzip.compress(head + data, mtime=0))

    def _archive_tables(self) -> bytes:
        packages: dict[str, list[tuple[str, Made]]] = {}
        for one in self._archived.values():
            packages.setdefault(one.name, []).append((f"{one.name}/{one.filename}", one))
        names = sorted(packages)
        tables = [_table(packages[name]) for name in names]
        listed = struct.pack(">ii", 0x213, len(tables)) + b"".join(tables)
        return listed + _pair("names", _texts(names)) + _NIL


def _table(rows: list[tuple[str, Made]]) -> bytes:
    """A data frame with the columns size and mtime (POSIXct)."""
    count = struct.pack(">i", len(rows))
    sizes = b"".join(struct.pack(">d", len(one.body)) for _, one in rows)
    times = b"".join(struct.pack(">d", one.time) for _, one in rows)
    size = struct.pack(">i", 14) + count + sizes
    classes = _pair("class", _texts(["POSIXct", "POSIXt"])) + _NIL
    mtime = struct.pack(">i", 0x30E) + count + times + classes
    return (
        struct.pack(">ii", 0x313, 2)
        + size
        + mtime
        + _pair("names", _texts(["size", "mtime"]))
        + _pair("class", _texts(["data.frame"]))
        + _pair("row.names", _texts([place for place, _ in rows]))
        + _NIL
    )


def _pair(name: str, value: bytes) -> bytes:
    # R writes a name once and then refers to it; spelled out again it is the same symbol.
    return struct.pack(">ii", 0x402, 1) + _text(name) + value


def _texts(values: list[str]) -> bytes:
    return struct.pack(">ii", 16, len(values)) + b"".join(map(_text, values))


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">ii", 0x40009, len(data)) + data


def _extension(section: str) -> str:
    if section.startswith("bin/windows/"):
        return ".zip"
    return ".tgz" if section.startswith("bin/mac") else ".tar.gz"


def _source(name: str, version: str, fields: dict[str, str], *, time: int, payload: int) -> bytes:
    """The bytes of a source package with one function, the same for the same arguments."""
    description = "".join(f"{key}: {value}\n" for key, value in fields.items() if value)
    imported = [one.split("(")[0].strip() for one in fields["Imports"].split(",") if one.strip()]
    namespace = f"export({name}_version)\n" + "".join(f"import({one})\n" for one in imported)
    members = {
        "DESCRIPTION": description,
        "NAMESPACE": namespace,
        f"R/{name}.R": f'{name}_version <- function() "{version}"\n',
    }
    if payload:
        members["inst/payload.txt"] = "." * payload
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, text in members.items():
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size, member.mtime = len(text), time
            archive.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue(), mtime=0)
