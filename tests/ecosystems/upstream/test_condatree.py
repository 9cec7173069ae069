"""The fake channel is real enough: its packages are solved, fetched and linked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import rattler

from ecosystems.upstream import Client, open_decoded
from tests.condatree import FakeConda
from tests.loops import finish


def test_its_packages_are_installed_by_a_real_client(tmp_path: Path):
    with FakeConda() as conda:
        conda.add("noarch", "base", "1.0")
        conda.add("linux-64", "tool", "2.1", depends=["base >=1"], ext=".tar.bz2", payload=5000)
        conda.publish()

        async def install() -> None:
            gateway = rattler.Gateway(cache_dir=tmp_path / "cache")
            records = await rattler.solve(
                [rattler.Channel(conda.channel)],
                ["tool"],
                platforms=["linux-64", "noarch"],
                gateway=gateway,
            )
            await rattler.install(
                records, target_prefix=str(tmp_path / "env"), cache_dir=tmp_path / "pkgs"
            )

        finish(install())
    assert sorted(p.name for p in (tmp_path / "env/share").iterdir()) == ["base", "tool"]


def test_every_form_of_its_index_says_the_same_and_its_records_are_true(
    client: Client, tmp_path: Path
):
    with FakeConda() as conda:
        name = conda.add("noarch", "base", "1.0", license=None, extra={"custom": [1]})
        conda.publish(base_url="../files/", extra={"v3": {}})
        texts = set()
        for suffix, encoding in (("", "identity"), (".zst", "zst"), (".bz2", "bz2")):
            client.fetch_index(f"{conda.channel}/noarch/repodata.json{suffix}", tmp_path / "x")
            texts.add(b"".join(open_decoded(tmp_path / "x", encoding, cap=10_000)))
        (text,) = texts
        document = json.loads(text)
        assert document["packages.conda"][name] == conda.record("noarch", name)
        assert document["info"]["base_url"] == "../files/"
        record = conda.record("noarch", name)
        digest = client.download(
            f"{conda.channel}/noarch/{name}", tmp_path / "p", size=record["size"]
        )
        assert (digest.sha256, digest.md5) == (record["sha256"], record["md5"])
        assert "license" not in record


def test_a_new_index_is_seen_by_its_etag_and_its_date(client: Client, tmp_path: Path):
    with FakeConda() as conda:
        conda.add("noarch", "base", "1.0")
        conda.publish()
        url = f"{conda.channel}/noarch/repodata.json.zst"
        first = client.fetch_index(url, tmp_path / "x")
        conda.add("noarch", "base", "1.1")
        conda.publish(forms=["zst"])
        for known in ({"etag": first.etag}, {"last_modified": first.last_modified}):
            assert client.fetch_index(url, tmp_path / "x", **known) != first
        assert hashlib.sha256((tmp_path / "x").read_bytes()).hexdigest() != first.sha256
        assert "/channel/noarch/repodata.json" not in conda.paths()
