"""The data folder: made, closed to others, and the key in it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirrorserver import data_folder, environment
from mirrorserver.environment import Environment
from mirrorserver.variables import BadEnvironment


def read(tmp_path: Path, **variables: str) -> Environment:
    return environment.read({"DATA": str(tmp_path / "var"), **variables})


def test_A13_the_secret_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = {env.secret_key for env in pool.map(lambda _: read(tmp_path), range(16))}
    assert len(keys) == 1
    assert len(keys.pop()) >= 50
    assert stat.S_IMODE((tmp_path / "var" / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700


def test_a_loose_data_folder_is_closed(tmp_path: Path) -> None:
    for mode, closed in ((0o777, 0o750), (0o755, 0o750), (0o750, 0o750), (0o700, 0o700)):
        folder = tmp_path / "var"
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
        read(tmp_path)
        assert stat.S_IMODE(folder.stat().st_mode) == closed
    assert data_folder.file_mask(folder) == 0o077
    folder.chmod(0o750)
    assert data_folder.file_mask(folder) == 0o027


def test_a_loose_folder_with_other_peoples_files_is_refused_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    (folder / "thesis.tex").write_text("")
    folder.chmod(0o755)
    with pytest.raises(BadEnvironment, match=r"DATA=.*which other users cannot read, expected"):
        read(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    (folder / "thesis.tex").unlink()
    folder.chmod(0o1777)
    with pytest.raises(BadEnvironment, match="chmod"):
        read(tmp_path)


def test_a_given_secret_key_is_used_and_none_is_kept(tmp_path: Path) -> None:
    assert read(tmp_path, SECRET_KEY="k" * 40).secret_key == "k" * 40
    assert not (tmp_path / "var" / "secret.key").exists()


def test_a_data_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadEnvironment, match=r"DATA=.*a folder this user may write to"):
        environment.read({"DATA": str(tmp_path / "file" / "below")})
