"""Channels with real revisions: rows, shards and documents as a publication writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from accounts.models import Role, User
from channels import blobs, file_sources
from channels.lease import Heartbeat
from channels.listed_from import ListedFrom
from channels.models import Channel, FileSource, Publication, Revision
from channels.package_rows import Listing
from channels.revision_builder import RevisionBuilder
from ecosystems import registry
from filters.models import Filter

CONDA = registry.get("conda")


@dataclass(frozen=True)
class Made:
    """A package file: its bytes, and what an index says of it."""

    filename: str
    content: bytes
    record: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def made(filename: str, content: bytes, **record: Any) -> Made:
    """`name-version-build.conda` with these bytes; `record` changes what the index says."""
    name, version, build = filename.removesuffix(".conda").removesuffix(".tar.bz2").rsplit("-", 2)
    fields = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "depends": [],
        "sha256": hashlib.sha256(content).hexdigest(),
        "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "size": len(content),
    }
    fields |= record
    kept = {key: value for key, value in fields.items() if value is not None}
    return Made(filename, content, json.dumps(kept).encode())


def channel(name: str = "tools", *, privacy: str = "public", **fields: Any) -> Channel:
    """A channel without revisions."""
    return Channel.objects.create(
        name=name, privacy=privacy, filter=Filter.objects.create(), **fields
    )


def store(file: Made) -> None:
    """Have the file's bytes here."""
    temp = blobs.temporary_path("made")
    temp.write_bytes(file.content)
    digest = hashlib.md5(file.content, usedforsecurity=False).hexdigest()
    # As if a public channel had brought them: anybody may have these bytes.
    anybody = blobs.Audience(0, Channel.Privacy.PUBLIC.openness)
    blobs.store(temp, file.sha256, md5=digest, file=True, audiences=[anybody])


def publish(
    to: Channel,
    sections: Mapping[str, list[Made]],
    *,
    file_source: FileSource | None = None,
    here: bool = True,
) -> Revision:
    """The next revision lists exactly these files; `here`: their bytes are stored, too."""
    publication = Publication.objects.create(
        channel=to, state="running", requested_version=to.requested_version
    )
    with Heartbeat(publication) as heartbeat:
        build = RevisionBuilder(publication, heartbeat, stop=lambda: None)
        for section, files in sections.items():
            if here:
                for file in files:
                    store(file)
            build.section(CONDA, section, _listings(files, file_source), whole=True)
            build.documents.write(CONDA, section, {})
        build.documents.write(CONDA, "", {})
        revision = build.commit({}, reason="test")
    to.refresh_from_db()
    assert revision is not None
    return revision


def _listings(files: list[Made], file_source: FileSource | None) -> Iterator[Listing]:
    names = sorted({CONDA.package_name(file.filename) or "" for file in files})
    for name in names:
        mine = [file for file in files if CONDA.package_name(file.filename) == name]
        yield Listing(
            name=name,
            body=CONDA.build([(file.filename, file.record) for file in mine], []),
            filenames=[file.filename for file in mine],
            size=sum(len(file.content) for file in mine),
            sources=[ListedFrom(file_source.pk, 1, None)] if file_source else [],
        )


def file_source(base_url: str, *, source: Channel | None = None) -> FileSource:
    """Where the files of one section are."""
    return file_sources.get_or_create(base_url, channel=source)


def user(name: str, *, role: str = "reader", **attributes: str) -> User:
    """Someone with a role of these attributes, and no password."""
    found, _ = Role.objects.get_or_create(name=role, defaults={"attributes": attributes})
    return User.objects.create_user(name, role=found)
