"""Which certificate authorities the client believes: the public ones, and those of the operator."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from pathlib import Path

import certifi


def add_authorities(context: ssl.SSLContext, path: str) -> None:
    """Believe the certificates of a file, or of a folder as OpenSSL keeps them; OSError if none.

    `ssl.SSLError`, which says that a file is not in PEM format, is an OSError.
    """
    if Path(path).is_dir():
        os.listdir(path)  # noqa: PTH208 - a folder that cannot be read has to be noticed
        context.load_verify_locations(capath=path)
    else:
        context.load_verify_locations(cafile=path)


def trust(context: ssl.SSLContext, further: Iterable[str]) -> None:
    """Believe the public authorities and `further` ones."""
    context.load_verify_locations(cafile=certifi.where())
    for path in further:
        add_authorities(context, path)
