"""Real R against a running server: it reads our indexes and installs from our mirrors."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from ecosystems.cran.contents import FileFacts, add_archive, add_current
from ecosystems.cran.packages import BETWEEN, fields, paragraphs
from ecosystems.cran.rds_writer import FileRow, Matrix, write_archive
from ecosystems.cran.versions import parse, version_test
from tests import machine
from tests.crantree import BUILT, FakeCran
from tests.e2e.api import Script
from tests.mirrorserver.server import Server

PASSWORD = "correct horse battery"
NUMBERS = count()


@pytest.fixture(scope="module", autouse=True)
def _r() -> None:
    """Debian's r-base-core."""
    machine.program("Rscript")


def r(code: str, folder: Path) -> str:
    """What R prints; an error fails the test."""
    library = folder / "library"
    library.mkdir(exist_ok=True)
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", code],
        cwd=folder,
        env={**os.environ, "R_LIBS": str(library), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def cran() -> Iterator[FakeCran]:
    with FakeCran() as upstream:
        upstream.add("aabase", "1.0", time=BUILT - 1000)
        upstream.add("aabase", "1.1-2")
        upstream.add("tool", "2.0", imports="aabase (>= 1.1)", payload=50_000)
        upstream.add("odd", "0.1", md5=False, extra="Depends: R (>= 3.5),\n        methods\n")
        upstream.publish()
        yield upstream


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("e2e") / "data",
        UPSTREAM_ALLOW="http://127.0.0.1:*",
        ADMIN_PASSWORD=PASSWORD,
        DISPATCH_SECONDS="1",
    )
    running.wait_for("http://127.0.0.1")
    yield running
    running.close()


@pytest.fixture
def script(server: Server) -> Script:
    return Script(server, PASSWORD)


@pytest.fixture
def passive(script: Script, cran: FakeCran) -> str:
    """The address of a channel with a passive mirror."""
    name = f"passive{next(NUMBERS)}"
    script.channel(name)
    mirror = script.mirror(name, cran.repository, mirror_type="CRAN")
    assert mirror["state"] == "completed", mirror["sync_state"]["last_exception"]
    # What another test has had fetched is here already.
    counts = mirror["sync_state"]["count"]
    assert counts["passive"] + counts["active"] == 4
    return f"{script.url}/api/repo/{name}/cran"


def test_r_installs_with_dependencies_from_a_passive_mirror(
    passive: str, cran: FakeCran, tmp_path: Path
) -> None:
    before = cran.count(cran.path("tool_2.0.tar.gz"))
    code = f"""
      options(repos = c(CRAN = "{passive}"))
      install.packages("tool", quiet = TRUE)
      cat(tool::tool_version(), aabase::aabase_version())
    """
    assert r(code, tmp_path) == "2.0 1.1-2"
    assert cran.count(cran.path("tool_2.0.tar.gz")) == before + 1


def test_r_installs_from_an_active_mirror_while_the_upstream_is_away(
    script: Script, cran: FakeCran, tmp_path: Path
) -> None:
    script.channel("active")
    mirror = script.mirror("active", cran.repository, mirror_type="CRAN", mirror_mode="active")
    assert mirror["state"] == "completed", mirror["sync_state"]["last_exception"]
    assert mirror["sync_state"]["count"]["active"] == 4
    before = cran.count()
    code = f"""
      install.packages("tool", repos = "{script.url}/api/repo/active/cran", quiet = TRUE)
      cat(tool::tool_version())
    """
    assert r(code, tmp_path) == "2.0"
    assert cran.count() == before


def test_r_reads_the_same_from_every_form_of_the_index(passive: str, tmp_path: Path) -> None:
    code = f"""
      base <- "{passive}/src/contrib"
      fetch <- function(name) {{
        download.file(paste0(base, "/", name), name, quiet = TRUE, mode = "wb")
        name
      }}
      rds <- readRDS(fetch("PACKAGES.rds"))
      packed <- read.dcf(fetch("PACKAGES.gz"))
      plain <- read.dcf(fetch("PACKAGES"))
      stopifnot(identical(packed, plain))
      stopifnot(identical(rds[, colnames(plain)], plain), ncol(rds) == ncol(plain))
      found <- available.packages(contriburl = base, filters = list())
      cat(sort(unname(found[, "Package"])), found["odd", "Depends"], nrow(found))
    """
    assert r(code, tmp_path) == "aabase odd tool R (>= 3.5),\nmethods 3"


def test_r_finds_nothing_wrong_with_each_form_alone(
    passive: str, cran: FakeCran, tmp_path: Path
) -> None:
    code = f"""
      base <- "{passive}/src/contrib"
      one <- function(names) {{
        folder <- tempfile(); dir.create(folder)
        for (name in names)
          download.file(paste0(base, "/", name), file.path(folder, name), quiet = TRUE, mode = "wb")
        options(available_packages_filters = list())
        found <- available.packages(contriburl = paste0("file://", folder), filters = list())
        found[, colnames(found) != "Repository"]
      }}
      stopifnot(identical(one("PACKAGES.rds"), one("PACKAGES")))
      cat("same")
    """
    assert r(code, tmp_path) == "same"


def test_r_installs_an_archived_version_by_its_address(passive: str, tmp_path: Path) -> None:
    code = f"""
      at <- "{passive}/src/contrib/Archive/aabase/aabase_1.0.tar.gz"
      install.packages(at, repos = NULL, type = "source", quiet = TRUE)
      cat(aabase::aabase_version())
    """
    assert r(code, tmp_path) == "1.0"


def test_r_reads_the_archive_as_its_own(passive: str, tmp_path: Path) -> None:
    code = f"""
      archive <- readRDS(gzcon(url("{passive}/src/contrib/Meta/archive.rds")))
      one <- archive[["aabase"]]
      stopifnot(is.data.frame(one), inherits(one$mtime, "POSIXct"), is.na(one$uname))
      stopifnot(identical(colnames(one), colnames(file.info("."))))
      cat(rownames(one), as.numeric(one$mtime), one$size > 100)
    """
    assert r(code, tmp_path) == f"aabase/aabase_1.0.tar.gz {BUILT - 1000} TRUE"


def test_r_is_refused_what_a_rule_refuses(script: Script, cran: FakeCran, tmp_path: Path) -> None:
    script.channel("ruled")
    script.mirror(
        "ruled", cran.repository, mirror_type="CRAN", filters={"exclude_specs": ["aabase (>= 1.1)"]}
    )
    code = f"""
      found <- available.packages(
        repos = "{script.url}/api/repo/ruled/cran", filters = list(), type = "source")
      cat(sort(unname(found[, "Package"])))
    """
    assert r(code, tmp_path) == "odd tool"


def test_we_write_what_r_reads(tmp_path: Path) -> None:
    text = "Package: aa\nVersion: 1.0\nTitle:  n\u00e9  e \nNote:\n one\n .\n\ttwo \nEmpty:\n\n"
    text += "Package: bb\nVersion: 0.1-2\n"
    (tmp_path / "PACKAGES").write_text(text)
    matrix = Matrix()
    for stanza in paragraphs([text.encode()]):
        matrix.add(fields(stanza))
    matrix.write(tmp_path / "PACKAGES.rds")
    code = 'cat(identical(readRDS("PACKAGES.rds"), read.dcf("PACKAGES")))'
    assert r(code, tmp_path) == "TRUE"
    assert BETWEEN == b"\n\n"


def test_we_read_what_r_writes(tmp_path: Path) -> None:
    (tmp_path / "aa_1.0.tar.gz").write_bytes(b"12345")
    (tmp_path / "aa_0.9.tar.gz").write_bytes(b"123")
    code = """
      Sys.setFileTime("aa_0.9.tar.gz", as.POSIXct(1.6e9, origin = "1970-01-01"))
      current <- file.info("aa_1.0.tar.gz")
      old <- file.info(rep("aa_0.9.tar.gz", 100))
      rownames(old) <- sprintf("aa/aa_0.%d.tar.gz", 1:100)
      # Sorting makes R write its wrapped vectors.
      old$size <- sort(old$size + 0)
      for (version in 2:3) {
        saveRDS(current, paste0("current", version, ".rds"), version = version)
        saveRDS(list(aa = old, none = old[0, ]), paste0("archive", version, ".rds"),
                version = version)
      }
    """
    r(code, tmp_path)
    for version in (2, 3):
        facts = FileFacts()
        add_current(facts, gzip.decompress((tmp_path / f"current{version}.rds").read_bytes()))
        add_archive(facts, gzip.decompress((tmp_path / f"archive{version}.rds").read_bytes()))
        assert len(facts.files) == 101
        assert facts.files["aa_1.0.tar.gz"][0] == 5
        assert facts.files["Archive/aa/aa_0.7.tar.gz"] == (3, 1_600_000_000_000)


def test_a_large_archive_survives_both_ways(tmp_path: Path) -> None:
    tables = [
        (f"pkg{n}", [FileRow(f"pkg{n}/pkg{n}_0.{v}.tar.gz", v, v * 1000) for v in range(n % 5)])
        for n in range(500)
    ]
    write_archive(tables, tmp_path / "archive.rds")
    code = """
      found <- readRDS("archive.rds")
      cat(length(found), sum(vapply(found, nrow, 1L)), sum(unlist(lapply(found, `[[`, "size"))))
    """
    assert r(code, tmp_path) == "500 1000 1000"


def test_versions_compare_as_in_r(tmp_path: Path) -> None:
    versions = ["1.0", "1.0.0", "1.0-1", "1.0.1", "1.9", "1.10", "0.99-9", "2023.1.2", "1.2-10"]
    listed = ", ".join(f'"{one}"' for one in versions)
    code = f"""
      v <- c({listed})
      out <- outer(v, v, Vectorize(function(a, b) compareVersion(a, b)))
      cat("[", paste(out, collapse = ","), "]", sep = "")
    """
    found = json.loads(r(code, tmp_path))
    pairs = [(one, other) for other in versions for one in versions]
    for (one, other), sign in zip(pairs, found, strict=True):
        assert (parse(one) > parse(other)) - (parse(one) < parse(other)) == sign, (one, other)
        assert version_test(f">={other}")[0](one) is (sign >= 0)
