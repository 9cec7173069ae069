"""Credentials at rest: authenticated encryption with a key that is not in the database."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache

from cryptography.fernet import Fernet
from django.conf import settings


@lru_cache(maxsize=4)
def _fernet(key: str) -> Fernet:
    # The salt is fixed: every process, after each restart, has to derive the same key.
    derived = hashlib.scrypt(key.encode(), salt=b"mirror credentials", n=2**12, r=8, p=1, dklen=32)
    return Fernet(base64.urlsafe_b64encode(derived))


def seal(text: str) -> bytes:
    """`text` encrypted; b"" for an empty one."""
    return _fernet(settings.SECRET_KEY).encrypt(text.encode()) if text else b""


def unseal(sealed: bytes | memoryview) -> str:
    """What `seal` was given."""
    raw = bytes(sealed)
    return _fernet(settings.SECRET_KEY).decrypt(raw).decode() if raw else ""
