"""Small conda indexes for tests, and the short way to read one."""

import json

from ecosystems.conda.repodata import read
from ecosystems.progress import never_stop

SUBDIR = "linux-64"


def record(name="numpy", version="1.26.4", build="py312_0", **fields):
    """A complete record; a field given as None is left out."""
    found = {
        "build": build,
        "build_number": 0,
        "depends": ["python >=3.12,<3.13.0a0"],
        "license": "BSD-3-Clause",
        "md5": "0123456789abcdef" * 2,
        "name": name,
        "sha256": "0123456789abcdef" * 4,
        "size": 12345,
        "subdir": SUBDIR,
        "timestamp": 1_700_000_000_000,
        "version": version,
    }
    return {key: value for key, value in (found | fields).items() if value is not None}


def file_name(fields, extension=".conda"):
    return f"{fields['name']}-{fields['version']}-{fields['build']}{extension}"


def index(*conda, packages=(), **others):
    """An index as a dict: .conda records, then .tar.bz2 records."""
    return {
        "info": {"subdir": SUBDIR},
        "packages": {file_name(r, ".tar.bz2"): r for r in packages},
        "packages.conda": {file_name(r): r for r in conda},
        "removed": [],
        "repodata_version": 1,
    } | others


def compact(content):
    return json.dumps(content, separators=(",", ":")).encode()


def blocks(text, size=100):
    return [text[at : at + size] for at in range(0, len(text), size)]


def read_text(text, work, *, size=100, subdir=SUBDIR):
    return read(blocks(text, size), subdir=subdir, work=work, stop=never_stop)


def bodies(text, work, **options):
    """Name -> body of all shards of an index."""
    with read_text(text, work, **options) as found:
        return {shard.name: shard.body for shard in found.shards(never_stop)}
