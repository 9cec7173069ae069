"""The rows of channels, by subject: channels, advisories, stored files, revisions, delivery."""

from channels.models.advisories import ListedAdvisory
from channels.models.channel import Channel, SourceLink
from channels.models.delivery import Download, Fetch, Generation, Refusal
from channels.models.files import Blob, FileSource, Pin, Provenance, UnavailableFile
from channels.models.revision import (
    FOREVER,
    Document,
    Interval,
    Package,
    Publication,
    Revision,
    Shard,
    Tallies,
)

__all__ = [
    "FOREVER",
    "Blob",
    "Channel",
    "Document",
    "Download",
    "Fetch",
    "FileSource",
    "Generation",
    "Interval",
    "ListedAdvisory",
    "Package",
    "Pin",
    "Provenance",
    "Publication",
    "Refusal",
    "Revision",
    "Shard",
    "SourceLink",
    "Tallies",
    "UnavailableFile",
]
