"""Test connection: what is at an address, before anything is saved."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from channels.origins import client_for
from ecosystems import registry
from ecosystems.base import Unchanged
from mirrors import own
from mirrors.fetch import scratch, warnings
from mirrors.models import Upstream


@dataclass(slots=True)
class Found:
    """What was found. `packages` counts names, `files` records, `size` bytes of the indexes."""

    type: str
    sections: list[str] = field(default_factory=list)
    packages: int = 0
    files: int = 0
    size: int = 0
    warnings: list[str] = field(default_factory=list)


def probe(upstream: Upstream) -> dict[str, Any]:
    """Look at an upstream (saved or not); raises `UpstreamError` or `BadIndex`.

    Of each section only its presence is asked; the smallest one is read.
    """
    ecosystem = registry.get(upstream.kind)
    found = Found(type=upstream.kind)
    with client_for(upstream.credential, upstream.proxy) as client, scratch() as work:
        for section in ecosystem.sections([]):
            if upstream.channel_id is not None:
                raw = own.fetch(upstream, section, None)
            else:
                raw = ecosystem.fetch(
                    client,
                    upstream.url,
                    section,
                    seen=None,
                    work=work,
                    stop=lambda: None,
                    progress=lambda _done, _total: None,
                )
            if raw is None or isinstance(raw, Unchanged):
                continue
            found.sections.append(section)
            if upstream.channel_id is not None:
                read = own.read(upstream, section, None, work=work)
            else:
                found.size += raw.path.stat().st_size
                read = ecosystem.read(client, raw, section, seen=None, work=work, stop=lambda: None)
            found.files += read.listed
            found.packages += read.names
            found.warnings += [f"{section}: {text}" for text in warnings(read)]
    return asdict(found)
