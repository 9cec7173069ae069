"""What advisories say of one file: score, severity, status, malware, and why.

Rule: a status for one file comes before one for a version spec, and that before one for all
files of a package. What is *Cleared* or *Mitigated* does not count against a file.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from advisories.formats.purl import CONDA
from advisories.formats.report import Range
from advisories.formats.scores import Score, Severity, severity_of
from advisories.formats.statement import Status
from advisories.matching.candidates import Candidate, MatchedBy, NameMap, candidates
from advisories.matching.versions import Scheme, Versions, scheme_of
from ecosystems import memo
from ecosystems.conda.version_range import VersionRange
from ecosystems.cran.versions import version_test
from ecosystems.errors import SpecError
from ecosystems.python.names import canonical_version

SETTLED = frozenset({Status.CLEARED, Status.MITIGATED})
"""Statuses that do not count against a file."""

SEVEREST = (
    Status.ACTIVE,
    Status.REPORTED,
    Status.DISPUTED,
    Status.MITIGATED,
    Status.CLEARED,
)
"""What nobody has looked at may be as bad as what is known to be; disputed is less."""

Fits = Callable[[str], bool]
Purls = tuple[str, ...] | None


class AffectedVersions(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The affected versions of one package, by one source of one advisory."""

    advisory: str
    """The name of the advisory (its CVE where it has one)."""
    ids: frozenset[str]
    """All ids of the advisory: curations may name any of them."""
    score: Score | None = None
    malware: bool = False
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()


class CurationEntry(msgspec.Struct, frozen=True, gc=False):
    """What somebody decided; the newest of equal scope counts (`number` grows with time)."""

    number: int
    advisory: str
    status: Status
    spec: str = ""
    filename: str = ""


class Match(msgspec.Struct, frozen=True, gc=False):
    """One advisory that affects a file."""

    id: str
    matched_by: MatchedBy
    status: Status
    score: Score | None
    malware: bool

    @property
    def counts(self) -> bool:
        """Whether it counts against the file."""
        return self.status not in SETTLED

    @property
    def severity(self) -> Severity:
        """The band of its score."""
        return severity_of(self.score)


class AdvisoryFacts(msgspec.Struct, frozen=True, gc=False):
    """What is known of one file.

    `score` is the highest that counts; `unknown` says that an advisory counts which has none.
    `status` is the most severe of all matches, None where nothing matches. `covered` False means
    that no data source covers the package: nothing is known, which is not "safe".
    """

    score: Score | None = None
    unknown: bool = False
    status: Status | None = None
    malware: tuple[str, ...] = ()
    matches: tuple[Match, ...] = ()
    covered: bool = False

    @property
    def severity(self) -> Severity:
        """The band of the score; `none` where the package is covered and nothing counts."""
        if self.score is None and self.covered and not self.unknown:
            return Severity.NONE
        return severity_of(self.score)


class PackageAdvisories:
    """The advisories of one package name, asked for each of its files."""

    def __init__(
        self,
        family: str,
        name: str,
        affected: Mapping[tuple[str, str], Sequence[AffectedVersions]],
        curations: Iterable[CurationEntry] = (),
        *,
        entry: NameMap | None = None,
        covered: Container[str] = (),
    ) -> None:
        """`affected`: rows by (ecosystem, name); `covered`: ecosystems that data exists of."""
        self._family, self._name, self._entry = family, name, entry
        self._affected, self._covered = affected, covered
        # The newest first, so that the first one that fits decides.
        self._curations = sorted(curations, key=lambda entry: -entry.number)
        # Builds of a version share their facts, unless somebody judged single files.
        self._single = any(entry.filename for entry in self._curations)
        self._facts_by_key: dict[tuple[str, Purls, str], AdvisoryFacts] = {}
        self._versions_by_key: dict[tuple[int, Scheme], Versions] = {}

    def __bool__(self) -> bool:
        """Whether any advisory is about the package, whatever versions it affects."""
        return bool(self._affected)

    def facts(self, version: str, filename: str = "", purls: Purls = None) -> AdvisoryFacts:
        """What is known of one file; `purls` as its record states them, None where it does not."""
        key = version, purls, filename if self._single else ""
        facts = self._facts_by_key.get(key)
        if facts is None:
            facts = self._facts_by_key[key] = self._facts(version, filename, purls)
        return facts

    def _facts(self, version: str, filename: str, purls: Purls) -> AdvisoryFacts:
        packages = candidates(self._family, self._name, purls, self._entry)
        # Of the sources that describe one advisory (GHSA and PYSEC) any may name the version.
        hits: dict[str, tuple[AffectedVersions, Candidate, bool]] = {}
        for candidate in packages:
            for row in self._affected.get((candidate.ecosystem, candidate.name), ()):
                if self._versions(row, candidate).contains(candidate.version or version):
                    first, by, malware = hits.get(row.advisory, (row, candidate, False))
                    hits[row.advisory] = first, by, malware or row.malware
        matches = tuple(
            Match(
                id=row.advisory,
                matched_by=candidate.matched_by,
                status=self._status(row.ids, version, filename),
                score=row.score,
                malware=malware,
            )
            for row, candidate, malware in hits.values()
        )
        return _summed(matches, covered=self._is_covered(packages))

    def _is_covered(self, packages: Iterable[Candidate]) -> bool:
        """Records about conda packages are an organisation's own: a few, never all there are."""
        ecosystems = {candidate.ecosystem for candidate in packages} - {CONDA}
        return any(ecosystem in self._covered for ecosystem in ecosystems)

    def _versions(self, row: AffectedVersions, candidate: Candidate) -> Versions:
        # A version of the file's own is in its own order; one that a purl states is in its.
        own = self._family == "conda" and not candidate.version
        scheme = Scheme.CONDA if own else scheme_of(candidate.ecosystem)
        # By identity: rows live as long as this object, and hashing their ranges would cost more.
        key = id(row), scheme
        versions = self._versions_by_key.get(key)
        if versions is None:
            versions = Versions(row.ranges, row.versions, scheme, malware=row.malware)
            self._versions_by_key[key] = versions
        return versions

    def _status(self, ids: frozenset[str], version: str, filename: str) -> Status:
        own = [entry for entry in self._curations if entry.advisory in ids]
        for entry in own:
            if entry.filename and entry.filename == filename:
                return entry.status
        for entry in own:
            if entry.spec and spec_test(self._family, entry.spec)(version):
                return entry.status
        for entry in own:
            if not entry.spec and not entry.filename:
                return entry.status
        return Status.REPORTED


def _summed(matches: tuple[Match, ...], *, covered: bool) -> AdvisoryFacts:
    counting = [match for match in matches if match.counts]
    scores = [match.score for match in counting if match.score is not None]
    return AdvisoryFacts(
        score=max(scores, key=lambda score: score.value, default=None),
        # Reports of malware have no score by nature; that is nothing that somebody has yet to
        # state.
        unknown=any(match.score is None and not match.malware for match in counting),
        status=min((match.status for match in matches), key=SEVEREST.index, default=None),
        malware=tuple(match.id for match in counting if match.malware),
        matches=matches,
        # A match is knowledge, even where no source covers the ecosystem as a whole.
        covered=covered or bool(matches),
    )


@memo.short(4096)
def spec_test(family: str, spec: str) -> Fits:
    """What a version spec in the words of a family says of a version; SpecError for a bad one."""
    if family == "conda":
        return VersionRange(spec).matches
    if family == "cran":
        return version_test(spec)[0]
    try:
        specifiers = SpecifierSet(spec)
    except InvalidSpecifier as error:
        raise SpecError(f'"{spec}" is no version specifier') from error

    def fits(version: str) -> bool:
        canonical = canonical_version(version)
        # Pre-releases count: PEP 440 leaves them out by default, but one may be installed.
        return canonical is not None and specifiers.contains(canonical, prereleases=True)

    return fits
