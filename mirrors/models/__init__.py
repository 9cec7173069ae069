"""Mirrors, what they read (upstreams, snapshots) and their runs."""

from mirrors.models.mirror import (
    AcceptedSnapshot,
    Hold,
    Holds,
    Mirror,
    WithheldRemovals,
    hold_reasons,
)
from mirrors.models.preview import Preview
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
    "Hold",
    "Holds",
    "LogLine",
    "Mirror",
    "MirrorType",
    "NamesByRule",
    "Preview",
    "Run",
    "RunOutcome",
    "Snapshot",
    "StepTimes",
    "Upstream",
    "WithheldRemovals",
    "hold_reasons",
]
