"""A small upstream of each type behind one face, for tests that hold for all three.

    with sources.serving("CRAN") as source:
        mirror = scene.mirror(channel, source.address, mirror_type=source.kind, **source.body)

Each lists three files of two packages; `source.file` is the one that things happen to, and
`source.index` the document in which it is listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from channels.models import Channel
from mirrors.models import Mirror
from tests import scene
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.simpletree import FakeSimple
from tests.upstream import FakeUpstream

KINDS = ("conda", "python_simple", "CRAN")
FILES = 3


@dataclass(frozen=True)
class Source:
    """An upstream of one type."""

    kind: str
    server: FakeUpstream
    address: str
    index: str
    """The path of the index that lists `file`, in the form that is asked for first."""
    forms: tuple[str, ...]
    """The paths of all forms of it."""
    name: str
    """The package of `file`."""
    filename: str
    file: str
    """Its path on the upstream."""
    path: str
    """Its path in a channel."""
    add: Callable[[str, str], object]
    """List one more file, at the next `publish`."""
    publish: Callable[[], object]
    unlist: Callable[[], object]
    """Take all packages out of the index and publish it."""
    rebuild: Callable[[], object]
    """Put other bytes in the place of `file`, and publish the index that says so."""
    body: dict[str, Any] = field(default_factory=dict)
    """What a mirror of it needs beside."""

    def mirror(self, channel: Channel, **more: Any) -> Mirror:
        """A saved mirror of this upstream."""
        return scene.mirror(channel, self.address, mirror_type=self.kind, **self.body, **more)

    def bytes(self) -> bytes:
        """The right bytes of `file`."""
        return self.server.bytes_at(self.file)


@contextmanager
def serving(kind: str) -> Iterator[Source]:
    """An upstream of this type, with its three files."""
    with {"conda": _conda, "python_simple": _python, "CRAN": _cran}[kind]() as source:
        yield source


@contextmanager
def _conda() -> Iterator[Source]:
    with FakeConda() as conda:
        conda.add("noarch", "six", "1.16.0")
        conda.add("noarch", "six", "1.15.0", ext=".tar.bz2")
        conda.add("noarch", "numpy", "2.0", license="GPL-3.0-only")
        conda.publish()

        def unlist() -> None:
            for name in list(conda.records("noarch")):
                conda.unlist("noarch", name)
            conda.publish()

        def rebuild() -> None:
            conda.add("noarch", "six", "1.16.0", payload=100)
            conda.publish()

        filename = "six-1.16.0-0.conda"
        forms = tuple(conda.path("noarch", f"repodata.json{form}") for form in (".zst", "", ".bz2"))
        yield Source(
            kind="conda",
            server=conda,
            address=conda.channel,
            index=forms[0],
            forms=forms,
            name="six",
            filename=filename,
            file=conda.path("noarch", filename),
            path=f"noarch/{filename}",
            add=lambda name, version: conda.add("noarch", name, version),
            publish=conda.publish,
            unlist=unlist,
            rebuild=rebuild,
        )


@contextmanager
def _python() -> Iterator[Source]:
    with FakeSimple() as simple:
        simple.add_wheel("six", "1.16.0")
        simple.add_sdist("six", "1.15.0")
        simple.add_wheel("numpy", "2.0", license="GPL-3.0-only")
        simple.publish()

        def unlist() -> None:
            for name in ("six", "numpy"):
                for file in list(simple._entries[name]):
                    simple.drop(name, file)
            simple.publish()

        def rebuild() -> None:
            simple.add_wheel("six", "1.16.0", payload="# another build")
            simple.publish()

        filename = "six-1.16.0-py3-none-any.whl"
        yield Source(
            kind="python_simple",
            server=simple,
            address=simple.index,
            index=simple.page("six"),
            forms=(simple.page("six"),),
            name="six",
            filename=filename,
            file=simple.path(filename),
            path=f"simple/six/{filename}",
            add=simple.add_wheel,
            publish=simple.publish,
            unlist=unlist,
            rebuild=rebuild,
            body={"filters": {"projects": ["six", "numpy", "fresh"]}},
        )


@contextmanager
def _cran() -> Iterator[Source]:
    with FakeCran() as cran:
        cran.add("six", "1.15.0", license="MIT")
        cran.add("six", "1.16.0", license="MIT")
        cran.add("numpy", "2.0", license="GPL-3")
        cran.publish()

        def unlist() -> None:
            cran._current["src/contrib"].clear()
            cran._archived.clear()
            cran.publish()

        def rebuild() -> None:
            cran._current["src/contrib"].pop(filename)
            cran.add("six", "1.16.0", license="MIT", payload=100)
            cran.publish()

        filename = "six_1.16.0.tar.gz"
        forms = tuple(cran.path(name) for name in ("PACKAGES.gz", "PACKAGES", "PACKAGES.rds"))
        yield Source(
            kind="CRAN",
            server=cran,
            address=cran.repository,
            index=forms[0],
            forms=forms,
            name="six",
            filename=filename,
            file=cran.path(filename),
            path=f"cran/src/contrib/{filename}",
            add=cran.add,
            publish=cran.publish,
            unlist=unlist,
            rebuild=rebuild,
        )
