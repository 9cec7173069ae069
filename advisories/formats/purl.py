"""Package URLs (ECMA-427), and the names of packages in the ecosystems of OSV.

Only what identifies a package here is read: type, namespace, name, version, qualifiers.
"""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from ecosystems import memo
from ecosystems.python.names import normalize

CONDA, PYPI, CRAN, BIOCONDUCTOR = "conda", "PyPI", "CRAN", "Bioconductor"

_ECOSYSTEMS = {
    "pypi": PYPI,
    "cran": CRAN,
    "bioconductor": BIOCONDUCTOR,
    "conda": CONDA,
    "npm": "npm",
    "cargo": "crates.io",
    "golang": "Go",
    "gem": "RubyGems",
    "maven": "Maven",
    "nuget": "NuGet",
    "hackage": "Hackage",
    "hex": "Hex",
    "pub": "Pub",
    "conan": "ConanCenter",
    "composer": "Packagist",
}
"""OSV's ecosystem of a purl type (osv-schema, "Defined ecosystems")."""

LONGEST = 1000


class Purl(msgspec.Struct, frozen=True, gc=False):
    """A package, and where the purl says it, which version and file of it."""

    ecosystem: str
    name: str
    version: str = ""
    build: str = ""
    subdir: str = ""
    extension: str = ""
    """Of conda: "conda" or "tar.bz2"."""


@memo.short(65536)
def parse(text: str) -> Purl | None:
    """A package URL; None for what is none, or of a type that OSV has no ecosystem for."""
    if len(text) > LONGEST or not text.lower().startswith("pkg:"):
        return None
    # Subpath (#) and qualifiers (?) go first: both may hold slashes and an @.
    bare, _, qualifiers = text[4:].partition("#")[0].partition("?")
    # "pkg://type/..." is not canonical, but parsers have to accept it.
    kind, slash, path = bare.lstrip("/").partition("/")
    ecosystem = _ECOSYSTEMS.get(kind.lower())
    # The version follows the last @: namespaces of npm begin with one, encoded as %40.
    path, _, version = path.rpartition("@") if "@" in path.lstrip("@") else (path, "", "")
    parts = [unquote(part) for part in path.strip("/").split("/") if part]
    # Encoded control characters are in no name, and a database may refuse them.
    if ecosystem is None or not slash or not parts or not "".join(parts).isprintable():
        return None
    # OSV writes a Maven package as group:artifact, others as their namespace and name with a
    # slash.
    joined = (":" if ecosystem == "Maven" else "/").join(parts)
    extras = dict(pair.partition("=")[::2] for pair in qualifiers.split("&") if pair)
    return Purl(
        ecosystem,
        normalized(ecosystem, joined),
        unquote(version),
        unquote(extras.get("build", "")),
        unquote(extras.get("subdir", "")),
        unquote(extras.get("type", "")),
    )


def normalized(ecosystem: str, name: str) -> str:
    """The spelling under which an ecosystem's names are stored and compared.

    CRAN and Bioconductor take no second name that differs in case only, and conda's names of
    their packages have lower case.
    """
    if ecosystem == PYPI:
        return normalize(name)
    return name.strip().lower() if ecosystem in (CRAN, BIOCONDUCTOR, CONDA) else name.strip()
