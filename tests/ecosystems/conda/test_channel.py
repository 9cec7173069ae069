"""File names, addresses and set-up of a conda channel."""

import pytest
from rattler import Channel

from ecosystems.conda.channel import (
    KNOWN_SUBDIRS,
    client_setup,
    is_subdir,
    locate,
    name_of,
    normalize,
    origin_base,
    parse_file_name,
    section_url,
    shard_digest,
)
from ecosystems.documents import Location


def test_a_file_name_has_four_parts():
    assert parse_file_name("r-base-2!4.3.1-h_0.tar.bz2") == ("r-base", "2!4.3.1", "h_0", ".tar.bz2")
    assert name_of("_libgcc_mutex-0.1-main.conda") == "_libgcc_mutex"


@pytest.mark.parametrize(
    "file",
    ["", "numpy", "numpy.conda", "numpy-1.conda", "numpy-1-0.zip", "NumPy-1-0.conda",
     "../x-1-0.conda", "/x-1-0.conda", "x-1/2-0.conda", ".x-1-0.conda", "x-1-0\0.conda",
     "x-1-0.conda\n", "x-1-" + "0" * 300 + ".conda", "é-1-0.conda"],
)  # fmt: skip
def test_what_is_no_file_name_has_no_name_m01(file):
    assert name_of(file) is None


def test_every_known_subdir_is_a_possible_one():
    assert all(map(is_subdir, KNOWN_SUBDIRS))
    assert not any(map(is_subdir, ("", "linux", "linux-64/..", "Linux-64", "a-" + "b" * 40)))


def test_names_have_one_spelling():
    assert normalize(" NumPy ") == "numpy"


def test_files_are_beside_their_index_unless_it_says_otherwise():
    index = "https://conda.example/main/linux-64/repodata.json.zst"
    assert origin_base(index, "") == "https://conda.example/main/linux-64/"
    assert origin_base(index, "../files") == "https://conda.example/main/files/"
    assert origin_base(index, "/pkgs/") == "https://conda.example/pkgs/"
    assert origin_base(index, "https://cdn.example/x") == "https://cdn.example/x/"


def test_section_urls_do_not_double_slashes():
    assert section_url("https://a.example/c/", "noarch", "repodata.json") == (
        "https://a.example/c/noarch/repodata.json"
    )


def test_the_token_is_put_where_clients_look_for_it():
    setup = client_setup("https://packages.example/api/repo/main", "ab12")
    assert set(setup) == {"conda", "conda once", "mamba", "pixi"}
    for text in setup.values():
        assert "https://packages.example/t/ab12/api/repo/main" in text
    assert "/t/" not in client_setup("https://packages.example/api/repo/main")["pixi"]
    assert Channel("https://packages.example/t/ab12/api/repo/main").base_url


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("channeldata.json", Location("", "", "channeldata.json")),
        ("noarch/repodata.json.zst", Location("noarch", "", "repodata.json.zst")),
        ("osx-64/six-1.16.0-0.conda", Location("osx-64", "six", "six-1.16.0-0.conda")),
        ("noarch/shards/x", Location("noarch", "", "x", shard=True)),
        ("noarch/other/x", None),
        ("noarch/shards/x/y", None),
    ],
)
def test_a_path_below_a_channel_names_a_file_or_nothing(path, location):
    assert locate(path) == location


def test_a_shard_is_named_by_its_hash():
    assert shard_digest("0" * 64 + ".msgpack.zst") == "0" * 64
    assert not any(map(shard_digest, ("", "0" * 64, "0" * 63 + ".msgpack.zst", "repodata.json")))
