"""What some tests need of the machine, and what happens where it is missing.

A developer's machine may lack a program or a right: the test is skipped and says which. With CI set
everything has to be there, so the same test fails. No other module of the suite skips anything.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest
from django.db import connection


def program(name: str) -> str:
    """The path of a program that the test drives."""
    # Debian keeps nginx where a plain user's PATH does not look.
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    return found or lacks(f"{name} is not installed")


def root(why: str) -> None:
    """The test does what only root may."""
    if os.getuid() != 0:
        lacks(f"only root can {why}")


def lacks(what: str) -> NoReturn:
    """The machine cannot do what the test needs: skipped, with CI set failed."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def only_on(vendor: str, why: str) -> None:
    """The test is about one database; the suite runs on both, so one of its passes has it."""
    if connection.vendor != vendor:
        pytest.skip(f"{vendor} only: {why}")
