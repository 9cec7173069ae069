"""The Python index that pip on this machine uses: pip says which one, no file here does.

pip's configuration decides, where it names an index that can be mirrored; else the default that
stands in pip's own code.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from pip._internal.configuration import Configuration
from pip._internal.exceptions import ConfigurationError
from pip._internal.models.index import PyPI

from ecosystems.upstream.credential import split_credentials
from ecosystems.upstream.urls import ip_literal, ip_scope, origin

KEYS = (":env:.index-url", "install.index-url", "global.index-url")
"""Where pip itself looks, the strongest first."""


@dataclass(frozen=True, slots=True)
class PythonIndex:
    """What an index is called, the address of its list of projects, and what allows it."""

    name: str
    url: str
    allow: tuple[str, ...]


@functools.cache
def python_index() -> PythonIndex:
    """The index of this machine's pip."""
    for url in _configured():
        try:
            return _index(url)
        except ValueError:
            # A folder, say: pip can read it, a mirror cannot.
            continue
    files = f"https://{PyPI.file_storage_domain}"
    return PythonIndex("PyPI", str(PyPI.simple_url).rstrip("/"), (str(PyPI.url).rstrip("/"), files))


def _index(url: str) -> PythonIndex:
    """The index at `url` without its login; a private one is allowed by the operator only."""
    clean, _ = split_credentials(url.rstrip("/"))
    index_origin = origin(clean)
    host = index_origin.host
    address = ip_literal(host)
    public = address is None or ip_scope(address) == "public"
    # A name without a dot is one of the local network.
    return PythonIndex(host, clean, (str(index_origin),) if public and "." in host else ())


def _configured() -> list[str]:
    configuration = Configuration(isolated=False)
    try:
        configuration.load()
    except ConfigurationError:
        return []
    # Newer versions of pip keep the values by file.
    flat: dict[str, str] = {}
    for key, value in dict(configuration.items()).items():
        flat |= value if isinstance(value, dict) else {key: value}
    return [str(flat[key]) for key in KEYS if flat.get(key)]
