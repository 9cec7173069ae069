"""Files of advisory data, as sources and people send them."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def archive(*texts: bytes) -> bytes:
    """An OSV archive; broken records get a number for their name."""
    members = {"README.txt": b"not a record"}
    for number, text in enumerate(texts):
        members[f"{number:05}.json"] = text
    return zipped(members)


def written(folder: Path, content: bytes | dict[str, Any], name: str = "upload") -> Path:
    """A file with this content; a dict as JSON."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path
