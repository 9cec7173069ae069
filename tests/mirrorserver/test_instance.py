"""The lock on a data folder."""

import subprocess
from pathlib import Path

import pytest

from mirrorserver import instance
from mirrorserver.instance import AlreadyRunning


def test_a_held_folder_is_refused_and_free_again_once_closed(tmp_path: Path) -> None:
    held = instance.claim(tmp_path, "web")
    with pytest.raises(AlreadyRunning, match=r"process \d+\) already uses the data folder"):
        instance.claim(tmp_path, "web")
    held.close()
    instance.claim(tmp_path, "web").close()


def test_parts_are_held_apart(tmp_path: Path) -> None:
    with instance.claim(tmp_path, "web"), instance.claim(tmp_path, "beat"):
        pass


def test_it_stays_held_while_a_child_lives(tmp_path: Path) -> None:
    held = instance.claim(tmp_path, "web")
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(held.fileno(),))
    held.close()
    with pytest.raises(AlreadyRunning):
        instance.claim(tmp_path, "web")
    child.communicate()
    instance.claim(tmp_path, "web").close()
