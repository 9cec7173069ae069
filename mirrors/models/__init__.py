"""Mirrors, what they read (upstreams, snapshots) and their runs."""

from mirrors.models.appearance import FileAppearance, IndexHistory
from mirrors.models.mirror import (
    AcceptedSnapshot,
    Hold,
    Holds,
    Mirror,
    WithheldRemovals,
    hold_reasons,
)
from mirrors.models.preview import Preview
from mirrors.models.replaced import ReplacedFile
from mirrors.models.run import (
    Cause,
    ExcludedNames,
    Failure,
    LogLine,
    NamesByRule,
    Run,
    RunOutcome,
    StepTimes,
)
from mirrors.models.upstream import FetchedPackage, MirrorType, Snapshot, Upstream

__all__ = [
    "AcceptedSnapshot",
    "Cause",
    "ExcludedNames",
    "Failure",
    "FetchedPackage",
    "FileAppearance",
    "Hold",
    "Holds",
    "IndexHistory",
    "LogLine",
    "Mirror",
    "MirrorType",
    "NamesByRule",
    "Preview",
    "ReplacedFile",
    "Run",
    "RunOutcome",
    "Snapshot",
    "StepTimes",
    "Upstream",
    "WithheldRemovals",
    "hold_reasons",
]
