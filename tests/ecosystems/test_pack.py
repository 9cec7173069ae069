"""Packs: what is written is read back, copied without work, and compared by digest."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from ecosystems.pack import DamagedPack, Pack, PackWriter, changed

BODIES = {"numpy": b"n" * 5000, "python": b"p" * 100, "zlib": b""}


def write(path, bodies, **options):
    with PackWriter(path, **options) as writer:
        for name, body in bodies.items():
            writer.add(name, body, len(body))
        writer.close({"info": {"subdir": "noarch"}})
    return Pack(path)


def test_a_pack_gives_back_every_body_with_its_digest_and_count(tmp_path):
    with write(tmp_path / "a", BODIES) as pack:
        assert list(pack.names()) == list(BODIES)
        assert {name: pack.read(name) for name in pack.names()} == BODIES
        entry = pack.names()["numpy"]
        assert entry.digest == hashlib.sha256(BODIES["numpy"]).digest()
        assert entry.count == 5000
        assert pack.meta == {"info": {"subdir": "noarch"}}


def test_close_returns_the_sha256_of_the_file(tmp_path):
    writer = PackWriter(tmp_path / "a")
    writer.add("x", b"body")
    assert writer.close() == hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()


def test_the_same_bodies_make_the_same_file(tmp_path):
    write(tmp_path / "a", BODIES)
    write(tmp_path / "b", BODIES)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_unchanged_body_is_copied_as_it_lies_in_the_old_pack(tmp_path):
    old = write(tmp_path / "old", BODIES, level=19)
    new = write(tmp_path / "new", BODIES | {"python": b"other"}, level=1, old=old)
    assert new.read_compressed("numpy") == old.read_compressed("numpy")
    assert new.read("python") == b"other"


def test_copy_takes_a_body_over_from_another_pack(tmp_path):
    old = write(tmp_path / "old", BODIES)
    writer = PackWriter(tmp_path / "new")
    writer.copy("numpy", old)
    writer.close()
    with Pack(tmp_path / "new") as new:
        assert new.read("numpy") == BODIES["numpy"]
        assert new.names()["numpy"].count == 5000


def test_changed_tells_added_replaced_and_removed_names(tmp_path):
    old = write(tmp_path / "old", BODIES)
    new = write(tmp_path / "new", {"numpy": BODIES["numpy"], "python": b"3", "six": b"6"})
    assert changed(old, new) == (["six"], ["python"], ["zlib"])
    assert changed(None, new).added == ["numpy", "python", "six"]


def test_a_name_is_added_once(tmp_path):
    with PackWriter(tmp_path / "a") as writer:
        writer.add("x", b"1")
        with pytest.raises(ValueError, match="x is in the pack already"):
            writer.add("x", b"2")


def test_a_pack_that_is_not_finished_leaves_no_file(tmp_path):
    folder = tmp_path / "packs"
    folder.mkdir()

    def write_half():
        with PackWriter(folder / "a") as writer:
            writer.add("x", b"1")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_half()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_a_cut_pack_is_refused(tmp_path, cut):
    write(tmp_path / "a", BODIES).close()
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes()[:cut])
    with pytest.raises(DamagedPack):
        Pack(tmp_path / "b")


def test_a_flipped_bit_in_a_body_is_noticed(tmp_path):
    with write(tmp_path / "a", BODIES) as pack:
        entry = pack.names()["numpy"]
    data = bytearray((tmp_path / "a").read_bytes())
    data[entry.offset + entry.length - 1] ^= 1
    (tmp_path / "b").write_bytes(data)
    with Pack(tmp_path / "b") as pack, pytest.raises(DamagedPack):
        pack.read("numpy")


def test_threads_read_one_pack_at_the_same_time_whole(tmp_path):
    bodies = {f"name{number}": bytes([number]) * 200_000 for number in range(40)}
    with write(tmp_path / "a", bodies) as pack, ThreadPoolExecutor(8) as pool:
        asked = list(bodies) * 20
        assert list(pool.map(pack.read, asked)) == [bodies[name] for name in asked]
