"""A conda channel as its makers make one: built by rattler-build, indexed by rattler.

Beside the channels made by hand (tests.condatree): whatever the real tools write into packages and
indexes, we read.
"""

from __future__ import annotations

from pathlib import Path

import rattler.index
from rattler_build import Stage0Recipe

from tests.loops import finish

RECIPE = """
package:
  name: {name}
  version: "{version}"
build:
  number: 3
  noarch: {noarch}
  script:
    - mkdir -p $PREFIX/share/{name}
    - echo {name} {version} > $PREFIX/share/{name}/version
requirements:
  run: [{depends}]
about:
  license: BSD-3-Clause
  summary: Says its version
"""


def channel(folder: Path) -> Path:
    """A channel with `words` in both forms of a package, and `tool`, which needs it."""
    root = folder / "channel"
    _build(root, "words", "1.0", noarch=True, form="tar.bz2")
    _build(root, "words", "2.0", noarch=True, form="conda")
    _build(root, "tool", "0.5", noarch=False, form="conda", depends="words >=2")
    finish(rattler.index.index_fs(root, write_zst=True, write_shards=True))
    return root


def files(root: Path) -> dict[str, bytes]:
    """What a web server in front of the channel answers, by path."""
    return {
        f"/{path.relative_to(root.parent)}": path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def _build(
    root: Path, name: str, version: str, *, noarch: bool, form: str, depends: str = ""
) -> None:
    text = RECIPE.format(
        name=name, version=version, depends=depends, noarch="generic" if noarch else "false"
    )
    if not noarch:
        text = text.replace("  noarch: false\n", "")
    # No channel is asked: a recipe that needs nothing to be built is solved from none.
    Stage0Recipe.from_yaml(text).run_build(
        output_dir=root, channels=[], package_format=form, no_build_id=True
    )
