"""The errors of this package that are not an upstream's; see `ecosystems.upstream.errors`."""

from __future__ import annotations


class EcosystemError(Exception):
    """Base of every error this package raises on purpose."""


class SpecError(EcosystemError):
    """A package spec that cannot be parsed; `str()` is the parser's words."""


class BadIndex(EcosystemError):
    """An index that is not what its address promises; `str()` is a sentence."""
