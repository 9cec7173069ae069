"""No two files import each other, directly or by way of others.

The layers of `pyproject.toml` order the packages; this orders the files within one. An import
inside a function counts as well: it delays a cycle, and does not open it. That Python loads a
module's package before the module does not count, else each package that re-exports a name would
be a cycle. Whoever imports that name from the package does depend on all that it re-exports.
"""

from __future__ import annotations

import graphlib
import tomllib
from pathlib import Path

import grimp
import pytest

from mirrorserver.environment import PROJECT

CONFIGURATION = tomllib.loads((PROJECT / "pyproject.toml").read_text())
ROOMS: list[str] = CONFIGURATION["tool"]["importlinter"]["root_packages"]


def import_cycle(*packages: str) -> list[str]:
    """The modules of one cycle, the first again at the end; empty where there is none."""
    graph = grimp.build_graph(*packages, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty package `looped` that can be imported."""
    folder = tmp_path / "looped"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_no_two_files_import_each_other() -> None:
    assert import_cycle(*ROOMS, "bench", "tests") == []


def test_a_cycle_of_three_files_is_found(package: Path) -> None:
    (package / "first.py").write_text("from looped.second import b\n")
    (package / "second.py").write_text("from looped import third\n")
    (package / "third.py").write_text("def a():\n    from looped.first import a\n")
    assert set(import_cycle("looped")) == {"looped.first", "looped.second", "looped.third"}


def test_a_name_that_a_module_takes_from_its_own_package_is_a_cycle(package: Path) -> None:
    (package / "__init__.py").write_text("from looped.module import a\n")
    (package / "module.py").write_text("from looped import b\n")
    assert set(import_cycle("looped")) == {"looped", "looped.module"}


def test_a_package_that_re_exports_is_no_cycle(package: Path) -> None:
    (package / "__init__.py").write_text("from looped.module import a\n")
    (package / "module.py").write_text("from looped import other\n")
    (package / "other.py").write_text("a = 1\n")
    assert import_cycle("looped") == []
