"""The environment: what stands for what, and the sentence for each bad value."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ecosystems.upstream import EgressPolicy
from mirrorserver import environment
from mirrorserver.environment import Environment
from mirrorserver.variables import BadEnvironment
from tests.certificates import Authority
from tests.mirrorserver.recorded import Recorded


def read(tmp_path: Path, **variables: str) -> Environment:
    return environment.read({"DATA": str(tmp_path / "var"), **variables})


def test_nothing_set_means_the_documented_defaults(tmp_path: Path) -> None:
    env = read(tmp_path)
    assert (env.host, env.port) == ("127.0.0.1", 8000)
    assert env.public_url == "http://127.0.0.1:8000"
    assert env.sqlite
    assert env.database["NAME"] == str(tmp_path / "var" / "mirrorserver.sqlite3")
    assert env.redis_url is None
    assert env.admin_password is None
    assert env.time_zone == "UTC"
    assert (env.upstream_timeout, env.ca_files) == (60, ())
    assert "https://conda.anaconda.org" in env.upstream_allow
    assert (env.lease_seconds, env.heartbeat_seconds) == (60, 5)
    assert (env.limit_writes, env.limit_runs) == ("600/60", "12/60")
    assert (env.limit_tests, env.limit_previews) == ("20/60", 4)
    assert env.limit_downloads == 64


def test_an_empty_value_counts_as_absent(tmp_path: Path) -> None:
    names = ("PORT", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "TZ", "UPSTREAM_ALLOW", "DEBUG")
    assert read(tmp_path, **dict.fromkeys(names, " ")) == read(tmp_path)


def test_a_folder_with_signs_of_an_address_in_its_name_is_fine(tmp_path: Path) -> None:
    folder = tmp_path / "a b#c?d%20"
    env = environment.read({"DATA": str(folder)})
    assert env.database["NAME"] == str(folder / "mirrorserver.sqlite3")


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("db.example", "db.example")]
)
def test_links_show_an_address_that_can_be_opened(tmp_path: Path, host: str, shown: str) -> None:
    assert read(tmp_path, HOST=host, PORT="81").public_url == f"http://{shown}:81"


def test_a_heartbeat_must_be_shorter_than_the_lease(tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment, match="less than LEASE_SECONDS"):
        read(tmp_path, LEASE_SECONDS="4", HEARTBEAT_SECONDS="4")


def test_no_secret_appears_in_an_error_or_in_a_dump(tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment) as raised:
        read(tmp_path, DATABASE_URL="mysql://user:s3cret@db/name")
    assert "s3cret" not in str(raised.value)
    env = read(
        tmp_path,
        SECRET_KEY="s3cret" * 8,
        ADMIN_PASSWORD="s3cret" * 2,
        DATABASE_URL="postgres://u:s3cret@db/name",
        REDIS_URL="redis://:s3cret@redis",
    )
    assert "s3cret" not in repr(env)


@pytest.mark.parametrize("name", environment.PLANNED)
def test_a_variable_whose_feature_does_not_exist_stops_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadEnvironment, match=rf"^{name}=.*this version does not .* yet") as raised:
        read(tmp_path, **{name: "s3cret"})
    assert "s3cret" not in str(raised.value)


ENVIRON = re.compile(r"\bos\.environ\b|\bgetenv\b|from os import")
ROOMS = sorted(path.parent.name for path in environment.PROJECT.glob("*/__init__.py"))
OUTSIDE = {"bench", "tests"}
"""Programs of their own, which no operator configures."""


def test_compose_passes_on_every_variable_that_an_operator_may_set(tmp_path: Path) -> None:
    variables = Recorded(DATA=str(tmp_path / "var"))
    environment.read(variables)
    compose = (environment.PROJECT / "docker-compose.yml").read_text()
    of_the_image = {"HOST", "PORT", "DATA"}
    never_there = {"DEBUG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}  # CA_BUNDLE does that
    set_there = set(re.findall(r"^ +([A-Z][A-Z0-9_]+): ", compose, re.MULTILINE))
    assert variables.names - set_there == of_the_image | never_there


def test_the_environment_is_read_in_one_place_only() -> None:
    """Elsewhere it is at most set, or handed to a child process."""
    used = {
        str(path.relative_to(environment.PROJECT)): sorted(
            {line.strip() for line in path.read_text().splitlines() if ENVIRON.search(line)}
        )
        for room in ("*.py", *(f"{room}/**/*.py" for room in ROOMS if room not in OUTSIDE))
        for path in environment.PROJECT.glob(room)
        if ENVIRON.search(path.read_text())
    }
    module = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorserver.settings")'
    assert used.pop("mirrorserver/environment.py") == ["return read(os.environ)"]
    assert used == {
        "manage.py": [module],
        "mirrorserver/celery.py": [module],
        "mirrorserver/apps.py": ['os.environ["TZ"] = settings.DEFAULT_CRON_TIMEZONE'],
        "mirrorserver/management/commands/serve.py": [
            'variables = dict(os.environ, DJANGO_SETTINGS_MODULE="mirrorserver.settings")'
        ],
    }


def _authority(folder: Path) -> str:
    folder.mkdir()
    return Authority(folder).ca_file


def test_further_authorities_come_from_our_variable_or_else_from_the_usual_ones(
    tmp_path: Path,
) -> None:
    first, second = (_authority(tmp_path / name) for name in "ab")
    usual = {"SSL_CERT_FILE": first, "REQUESTS_CA_BUNDLE": second}
    assert read(tmp_path, **usual).ca_files == (first, second)
    assert read(tmp_path, **usual, CA_BUNDLE=second).ca_files == (second,)
    assert read(tmp_path, SSL_CERT_FILE=first, REQUESTS_CA_BUNDLE=first).ca_files == (first,)
    assert read(tmp_path, REQUESTS_CA_BUNDLE=str(tmp_path)).ca_files == (str(tmp_path),)


def test_the_storage_that_the_conda_hosts_redirect_to_is_allowed_by_default() -> None:
    url = "https://binstar-cio-packages-prod.s3.amazonaws.com/570e/58e3?X-Amz-Expires=600"
    EgressPolicy(environment.DEFAULT_UPSTREAM_ALLOW).check(url)


def test_the_operators_time_zone_reaches_the_processes_that_django_begins(tmp_path: Path) -> None:
    script = (
        "import django, subprocess, sys; django.setup();"
        "child = 'from mirrorserver import environment; print(environment.load().time_zone)';"
        "sys.exit(subprocess.call([sys.executable, '-c', child]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "TZ": "Asia/Tokyo",
            "DATA": str(tmp_path / "var"),
            "DJANGO_SETTINGS_MODULE": "mirrorserver.settings",
        },
        cwd=environment.PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "Asia/Tokyo", done.stderr
