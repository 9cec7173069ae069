"""Checksums of files by algorithm: which of those that an index states is used, and how.

Rule: SHA-256 is the one that files are stored by. Any other of Python's `hashlib` verifies a
file just as well, and is written `algorithm=digits`, as in the links of the Simple API (PEP 503).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

SHA256, MD5 = "sha256", "md5"
# SHA-256 leads, though others are longer: files are stored by it, so it costs no second hash.
# SHA-1 and MD5, for which collisions can be made, count only where nothing better is stated.
STRONGEST_FIRST = (
    *("sha256", "sha512", "blake2b", "sha3_512", "sha384", "sha3_384", "blake2s", "sha3_256"),
    *("sha224", "sha3_224", "sha1", "md5"),
)
"""Those with a digest of one length. Where an index states several, the first counts."""
_DIGITS = {name: hashlib.new(name).digest_size * 2 for name in STRONGEST_FIRST}
_HEX = re.compile(r"[0-9a-fA-F]+")


def is_digest(algorithm: str, text: str) -> bool:
    """Whether `text` can be what this algorithm gives."""
    return len(text) == _DIGITS.get(algorithm, 0) and _HEX.fullmatch(text) is not None


def usable(hashes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Of stated hashes those that can verify a file: algorithm and digits, the strongest first."""
    for algorithm in STRONGEST_FIRST:
        # What is cut off or empty must not hide a weaker hash that is whole.
        digest = hashes.get(algorithm, "")
        if digest and is_digest(algorithm, digest):
            # Indexes may write capitals; what is computed has small letters, and text is compared.
            yield algorithm, digest.lower()


def strongest(hashes: Mapping[str, str]) -> str:
    """The stated hash that counts, as `algorithm=digits`; "" where none can verify a file."""
    return next((f"{algorithm}={digest}" for algorithm, digest in usable(hashes)), "")
