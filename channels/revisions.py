"""Compare two revisions of a channel: what one lists and the other does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import zstandard
from django.db.models import Q

from channels.models import Channel, Package, Shard
from ecosystems import registry

BATCH = 200
"""Names whose shards are read at once."""


@dataclass(slots=True)
class Difference:
    """File names by what became of them from revision `a` to `b`, as `section/file`."""

    a: int
    b: int
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def difference(channel: Channel, a: int, b: int) -> Difference:
    """What `b` lists otherwise than `a`, sorted."""
    result = Difference(a, b)
    for family, section, old, new in _bodies(_changed(channel, a, b)):
        entries = registry.of_family(family).entries
        before = entries(old) if old else {}
        after = entries(new) if new else {}
        for filename, raw in after.items():
            if filename not in before:
                result.added.append(f"{section}/{filename}")
            elif before[filename] != raw:
                result.replaced.append(f"{section}/{filename}")
        result.removed += [f"{section}/{file}" for file in before if file not in after]
    for files in (result.added, result.replaced, result.removed):
        files.sort()
    return result


def _changed(channel: Channel, a: int, b: int) -> Iterator[tuple[str, str, str, str]]:
    """(family, section, shard at a, shard at b) of every name whose shard differs."""
    rows = Package.objects.filter(channel=channel, shard__isnull=False)
    rows = rows.exclude(Q(added_in__lte=min(a, b), removed_in__gt=max(a, b)))
    sides: dict[tuple[str, str, str], dict[int, str]] = {}
    for revision in {a, b}:
        visible = rows.filter(added_in__lte=revision, removed_in__gt=revision)
        for family, section, name, shard in visible.values_list(
            "family", "section", "name", "shard_id"
        ):
            sides.setdefault((family, section, name), {})[revision] = shard
    for (family, section, _), shards in sides.items():
        old, new = shards.get(a, ""), shards.get(b, "")
        if old != new:
            yield family, section, old, new


def _bodies(
    changed: Iterator[tuple[str, str, str, str]],
) -> Iterator[tuple[str, str, bytes, bytes]]:
    """The same with the shards' bodies; one query for many of them."""
    expand = zstandard.ZstdDecompressor()
    while batch := list(islice(changed, BATCH)):
        wanted = {shard for _, _, *shards in batch for shard in shards if shard}
        rows = Shard.objects.filter(pk__in=wanted).values_list("pk", "body")
        bodies = {pk: expand.decompress(bytes(body)) for pk, body in rows}
        for family, section, old, new in batch:
            yield family, section, bodies.get(old, b""), bodies.get(new, b"")
