"""What a conda channel's `channeldata.json` says of packages, read from the published document.

The rule: it only tells people about packages; what cannot be read is as good as not said.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import msgspec
import zstandard

from channels import blobs
from channels.models import Channel, Document

NAME = "channeldata.json"

log = logging.getLogger(__name__)


class PackageDescription(msgspec.Struct):
    """What people read about a package; "" for what the upstream does not say."""

    summary: str = ""
    description: str = ""
    home: str = ""


class _ChannelData(msgspec.Struct):
    packages: dict[str, msgspec.Raw] = {}


def package_descriptions(channel: Channel, names: Collection[str]) -> dict[str, PackageDescription]:
    """What the channel's current document says of these packages, by name."""
    if not names:
        return {}
    rows = Document.objects.at(channel.current).filter(channel=channel, section="", name=NAME)
    document = rows.first()
    if document is None:
        return {}
    try:
        content = blobs.path(document.blob_id).read_bytes()
        if document.packed:
            # The limit: a document that says less than it holds must not fill the memory.
            content = zstandard.ZstdDecompressor().decompress(
                content, max_output_size=document.size
            )
        packages = msgspec.json.decode(content, type=_ChannelData).packages
    except (OSError, zstandard.ZstdError, msgspec.DecodeError) as error:
        log.warning("%s of %s cannot be read: %s", NAME, channel.path, error)
        return {}
    return {name: _description(packages[name]) for name in names if name in packages}


def _description(raw: msgspec.Raw) -> PackageDescription:
    try:
        fields = msgspec.json.decode(raw, type=dict[str, object])
    except msgspec.DecodeError:
        return PackageDescription()
    # Upstreams write null and numbers here, too: field by field, so that the others stay.
    values = {key: fields.get(key) for key in PackageDescription.__struct_fields__}
    return PackageDescription(
        **{key: value for key, value in values.items() if isinstance(value, str)}
    )
