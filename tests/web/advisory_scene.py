"""A channel of conda packages that advisories are about, for tests of the API and of pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advisories.importing import import_file
from channels.models import Channel
from publishing import advisory_changes, advisory_index
from tests import scene
from tests.advisories import files, records
from tests.condatree import FakeConda

MAPPING: dict[str, Any] = {
    "pyyaml": ["pyyaml"],
    "py": ["py"],
    "pytorch": ["torch"],
    "ultralytics": ["ultralytics"],
    "numpy": ["numpy"],
    "zlib": None,
}
SUMMARY = "Arbitrary code execution <script>alert(1)</script>"
NO_SCORE = records.osv(
    "GHSA-aaaa-bbbb-cccc", records.affected("numpy", ("introduced", "0"), ("fixed", "1.25"))
)


def texts() -> tuple[bytes, ...]:
    """Records of two sources, of malware, and without a score; one with text and references."""
    pyyaml = records.osv(
        "GHSA-8q59-q68h-6hv4",
        records.affected("PyYAML", ("introduced", "0"), ("fixed", "5.4")),
        aliases=["CVE-2020-14343", "PYSEC-2021-142"],
        vector=records.V31,
        summary=SUMMARY,
        details="The full_load method runs what it reads.",
        published="2021-03-25T21:26:26Z",
        references=[
            {"type": "WEB", "url": "https://example.org/advisory?a=1&b=2"},
            {"type": "WEB", "url": "javascript:alert(1)"},
        ],
    )
    return (
        pyyaml,
        records.PYYAML_TWIN,
        records.TORCH,
        records.PY,
        records.ULTRALYTICS,
        records.COMMONMARK,
        NO_SCORE,
    )


def upstream(conda: FakeConda) -> None:
    """Packages with and without advisories, and one that no source has data of."""
    conda.add("linux-64", "pyyaml", "5.3.1")
    conda.add("win-64", "pyyaml", "5.3.1")
    conda.add("linux-64", "pyyaml", "6.0")
    conda.add("noarch", "py", "1.11.0")
    conda.add("noarch", "ultralytics", "8.3.41")
    conda.add("linux-64", "numpy", "1.24.0")
    conda.add("linux-64", "zlib", "1.3")
    conda.publish()


def import_all(folder: Path) -> None:
    """The records and the name mapping, as by upload."""
    import_file(files.written(folder, files.archive(*texts())))
    import_file(files.written(folder, MAPPING))


def filled(conda: FakeConda, folder: Path, **body: Any) -> Channel:
    """A public channel that lists all of it; `body` is of its mirror."""
    upstream(conda)
    import_all(folder)
    # Both have to let it through: each excludes malware where it says nothing else.
    channel = scene.channel(filters={"exclude_malware": False})
    filters = {"exclude_malware": False, **body.pop("filters", {})}
    scene.run_now(scene.mirror(channel, conda.channel, filters=filters, **body))
    settle(channel)
    return channel


def settle(channel: Channel) -> None:
    """What the dispatcher would have workers do after a change of advisories."""
    advisory_changes.request()
    channel.refresh_from_db()
    scene.publish(channel)
    advisory_index.update(channel)
    channel.refresh_from_db()
