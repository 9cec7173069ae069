"""Without a network: a bundle comes in, and real clients do not get what it is about any more.

The bundle was exported by another server, which had the sources' data. The upstream is gone
before it is imported, and clients ask over the network as they always do.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from rattler.exceptions import SolverError

from tests import indexes, machine
from tests.advisories import files, records
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.e2e.api import Script
from tests.e2e.test_conda import install as rattler_install
from tests.e2e.test_python import modules, pip, uv_install
from tests.e2e.test_r import r
from tests.mirrorserver.server import PROJECT, Server, services, until, variables
from tests.simpletree import FakeSimple
from tests.wsgi import Answer

PASSWORD = "correct horse battery"
WITHIN = 10.0
"""Seconds in which an imported advisory has to act, with the dispatcher's rounds as they come."""

COMMONMARK = records.osv(
    "RSEC-2023-6",
    records.affected("commonmark", ("introduced", "0.2"), ("fixed", "1.8.1"), ecosystem="CRAN"),
    upstream=["CVE-2022-39209"],
    vector=records.V31,
)
SNAPPY = records.osv(
    "PYSEC-2099-1", records.affected("snappy", ("introduced", "0")), vector=records.V31
)
CLEARED = {
    **records.OPENVEX,
    "statements": [
        {
            "vulnerability": {"name": advisory},
            "products": [{"@id": product} for product in products],
            "status": "not_affected",
            "justification": "vulnerable_code_not_in_execute_path",
        }
        for advisory, products in (
            ("CVE-2020-14343", ["pkg:pypi/pyyaml@5.3.1", "pkg:conda/pyyaml@5.3.1"]),
            ("CVE-2022-39209", ["pkg:cran/commonmark@1.8.0"]),
        )
    ],
}
"""What the security team of the other server found out: all three files may be had."""


def manage(environment: dict[str, str], *arguments: str) -> str:
    """What a command of the server prints."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Bundles of a server that has the sources' data: before and after somebody looked at it."""
    folder = tmp_path_factory.mktemp("sources")
    environment = variables(folder / "data")
    manage(environment, "migrate", "--verbosity=0")
    archive = files.archive(records.PYYAML, records.PYYAML_TWIN, COMMONMARK, SNAPPY)
    names = {"pyyaml": ["pyyaml"], "snappy": None}
    first, second = folder / "first.zip", folder / "second.zip"
    for number, content in enumerate((archive, names)):
        file = files.written(folder, content, f"source{number}")
        manage(environment, "advisories", "import", str(file))
    manage(environment, "advisories", "export", str(first))
    document = files.written(folder, CLEARED, "vex.json")
    manage(environment, "advisories", "import", str(document))
    manage(environment, "advisories", "export", str(second))
    return first, second


@dataclasses.dataclass
class Offline:
    """A running server whose upstream is about to go, and how to bring files to it."""

    environment: dict[str, str]
    script: Script
    bundles: tuple[Path, Path]

    def mirrored(self, name: str, source: str, kind: str, **fields: Any) -> str:
        """An active mirror that has all its files, in a channel that filters by score."""
        self.script.channel(name)
        fields = {"mirror_type": kind, "mirror_mode": "active", **fields}
        mirror = self.script.mirror(name, source, **fields)
        assert mirror["state"] == "completed", mirror["sync_state"]["last_exception"]
        self.script.call("PUT", f"/channels/{name}", {"filters": {"cve_score_threshold": 7}})
        return f"{self.script.url}/api/repo/{name}"

    def bring(self, bundle: Path) -> None:
        """Import a bundle by the command line, as an operator does from a disk."""
        assert "bundle" in manage(self.environment, "advisories", "import", str(bundle))


@pytest.fixture
def site(tmp_path: Path, bundles: tuple[Path, Path]) -> Iterator[Offline]:
    """A server for each test: what one knows of advisories is no matter of another's channels."""
    more = {**services(), "UPSTREAM_ALLOW": "http://127.0.0.1:*", "ADMIN_PASSWORD": PASSWORD}
    data = tmp_path / "server" / "data"
    data.parent.mkdir()
    server = Server(data, **more)
    try:
        server.wait_for("http://127.0.0.1")
        yield Offline(variables(data, **more), Script(server, PASSWORD), bundles)
    finally:
        server.close()


def listed(channel: str, family: str, section: str, *names: str) -> set[str]:
    """The files of a section; every form of the index says the same."""

    def ask(path: str, **headers: str) -> Answer:
        answer = requests.get(
            f"{channel}/{path}", headers={"Accept-Encoding": "identity", **headers}, timeout=10
        )
        return Answer(answer.status_code, dict(answer.headers), answer.content)

    return set(indexes.read(family, ask, section, set(names)))


def gone(channel: str, path: str) -> str:
    """Why a file cannot be had; "" as long as it can."""
    answer = requests.get(f"{channel}/{path}", timeout=10)
    if answer.status_code == 200:
        return ""
    assert answer.status_code == 404, answer.text
    return str(json.loads(answer.content)["detail"])


def left(channel: str, path: str, still_listed: Callable[[], set[str]]) -> str:
    """Why a file cannot be had any more, as soon as that is so and no form lists it."""
    name = path.rpartition("/")[2]
    reason = until(lambda: gone(channel, path), within=WITHIN)
    # The address and every form change with the same revision, so this waits for nothing.
    assert name not in still_listed()
    return reason


def test_conda_packages_leave_and_come_back_without_a_network(
    site: Offline, tmp_path: Path
) -> None:
    with FakeConda() as upstream:
        for version in ("5.3.1", "6.0"):
            upstream.add("noarch", "pyyaml", version)
        upstream.add("noarch", "snappy", "1.1.10")
        upstream.publish()
        channel = site.mirrored("main", upstream.channel, "conda")
        assert rattler_install(channel, tmp_path / "before", "pyyaml 5.3.1.*") == {"pyyaml"}
        upstream.forget()
    path = "noarch/pyyaml-5.3.1-0.conda"
    all_files = {"pyyaml-5.3.1-0.conda", "pyyaml-6.0-0.conda", "snappy-1.1.10-0.conda"}

    def files_now() -> set[str]:
        return listed(channel, "conda", "noarch")

    assert files_now() == all_files
    first, second = site.bundles
    site.bring(first)
    reason = left(channel, path, files_now)
    assert "CVE-2020-14343 (score 9.8, CVSS 3.1) is above 7, status reported" in reason
    # Also the C library that has the name of another project that has an advisory.
    assert files_now() == all_files - {"pyyaml-5.3.1-0.conda"}
    with pytest.raises(SolverError, match="pyyaml"):
        rattler_install(channel, tmp_path / "refused", "pyyaml 5.3.1.*")
    assert rattler_install(channel, tmp_path / "newer", "pyyaml") == {"pyyaml"}
    site.bring(second)
    until(lambda: files_now() == all_files, within=WITHIN)
    assert rattler_install(channel, tmp_path / "after", "pyyaml 5.3.1.*") == {"pyyaml"}
    assert upstream.count() == 0


def test_python_files_leave_and_come_back_without_a_network(site: Offline, tmp_path: Path) -> None:
    with FakeSimple() as upstream:
        for version in ("5.3.1", "6.0"):
            upstream.add_wheel("pyyaml", version)
        upstream.publish()
        filters = {"only_specs": ["pyyaml"]}
        channel = site.mirrored("main", upstream.index, "python_simple", filters=filters)
        upstream.forget()
    index, name = f"{channel}/simple", "pyyaml-5.3.1-py3-none-any.whl"
    path = f"simple/pyyaml/{name}"

    def files_now() -> set[str]:
        return listed(channel, "python", "simple", "pyyaml")

    before = files_now()
    assert name in before
    first, second = site.bundles
    site.bring(first)
    reason = left(channel, path, files_now)
    assert "CVE-2020-14343 (score 9.8, CVSS 3.1) is above 7, status reported" in reason
    for install in (pip, uv_install):
        folder = tmp_path / install.__name__
        refused = install(index, folder / "refused", "pyyaml==5.3.1")
        assert refused.returncode != 0
        assert "5.3.1" in refused.stderr
        newer = install(index, folder / "newer", "pyyaml")
        assert newer.returncode == 0, newer.stderr
        assert modules(folder / "newer") == {"pyyaml": "6.0"}
        # Who has the address from a lock file is refused as well.
        assert install(index, folder / "locked", f"{channel}/{path}").returncode != 0
    site.bring(second)
    until(lambda: files_now() == before, within=WITHIN)
    for install in (pip, uv_install):
        folder = tmp_path / install.__name__ / "after"
        done = install(index, folder, "pyyaml==5.3.1")
        assert done.returncode == 0, done.stderr
        assert modules(folder) == {"pyyaml": "5.3.1"}
    assert upstream.count() == 0


def test_r_packages_leave_and_come_back_without_a_network(site: Offline, tmp_path: Path) -> None:
    machine.program("Rscript")
    with FakeCran() as upstream:
        upstream.add("commonmark", "1.8.0")
        upstream.add("tool", "1.0")
        upstream.publish()
        channel = site.mirrored("main", upstream.repository, "CRAN")
        upstream.forget()
    name, repository = "commonmark_1.8.0.tar.gz", f"{channel}/cran"
    path = f"cran/src/contrib/{name}"

    def files_now() -> set[str]:
        return listed(channel, "cran", "src/contrib")

    before = files_now()
    assert name in before
    first, second = site.bundles
    site.bring(first)
    reason = left(channel, path, files_now)
    assert "CVE-2022-39209 (score 9.8, CVSS 3.1) is above 7, status reported" in reason
    install = f'install.packages("commonmark", repos = "{repository}", quiet = TRUE)'
    code = f"""
      said <- tryCatch({install}, warning = function(warning) conditionMessage(warning))
      cat(said, rownames(available.packages(repos = "{repository}", filters = list())))
    """
    said = r(code, tmp_path)
    assert "is not available" in said
    assert said.endswith(" tool")
    with pytest.raises(AssertionError, match="404"):
        r(f'invisible(url("{channel}/{path}", "rb"))', tmp_path)
    site.bring(second)
    until(lambda: files_now() == before, within=WITHIN)
    assert r(f"{install}; cat(commonmark::commonmark_version())", tmp_path) == "1.8.0"
    assert upstream.count() == 0
