"""The environment: what stands for what, and the sentence for each bad value."""

import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ecosystems.upstream import EgressPolicy
from mirrorserver import environment
from mirrorserver.environment import BadEnvironment, Environment
from tests.certificates import Authority
from tests.mirrorserver.recorded import Recorded


def read(tmp_path: Path, **variables: str) -> Environment:
    return environment.read({"DATA": str(tmp_path / "var"), **variables})


def test_nothing_set_means_the_documented_defaults(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.host, found.port) == ("127.0.0.1", 8000)
    assert found.public_url == "http://127.0.0.1:8000"
    assert found.sqlite
    assert found.database["NAME"] == str(tmp_path / "var" / "mirrorserver.sqlite3")
    assert found.redis_url is None
    assert found.admin_password is None
    assert found.time_zone == "UTC"
    assert (found.upstream_timeout, found.ca_files) == (60, ())
    assert "https://conda.anaconda.org" in found.upstream_allow
    assert (found.lease_seconds, found.heartbeat_seconds) == (60, 5)
    assert (found.limit_writes, found.limit_runs) == ("600/60", "12/60")
    assert (found.limit_tests, found.limit_previews) == ("20/60", 4)
    assert found.limit_downloads == 64


def test_an_empty_value_counts_as_absent(tmp_path: Path) -> None:
    names = ("PORT", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "TZ", "UPSTREAM_ALLOW", "DEBUG")
    assert read(tmp_path, **dict.fromkeys(names, " ")) == read(tmp_path)


def test_A13_the_secret_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = {found.secret_key for found in pool.map(lambda _: read(tmp_path), range(16))}
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
    assert environment.file_mask(folder) == 0o077
    folder.chmod(0o750)
    assert environment.file_mask(folder) == 0o027


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


@pytest.mark.parametrize(
    ("url", "engine", "name"),
    [
        ("postgres://u:p%40ss@db:5433/name", "django.db.backends.postgresql", "name"),
        ("postgresql:///name", "django.db.backends.postgresql", "name"),
        ("sqlite:////srv/x.db", "django.db.backends.sqlite3", "/srv/x.db"),
    ],
)
def test_a_database_url_is_understood(tmp_path: Path, url: str, engine: str, name: str) -> None:
    found = read(tmp_path, DATABASE_URL=url)
    assert (found.database["ENGINE"], found.database["NAME"]) == (engine, name)


def test_a_folder_with_signs_of_an_address_in_its_name_is_fine(tmp_path: Path) -> None:
    folder = tmp_path / "a b#c?d%20"
    found = environment.read({"DATA": str(folder)})
    assert found.database["NAME"] == str(folder / "mirrorserver.sqlite3")


def test_allowed_upstreams_are_split_at_commas(tmp_path: Path) -> None:
    found = read(tmp_path, UPSTREAM_ALLOW="http://127.0.0.1:*, https://*.example.org:8443/,")
    assert found.upstream_allow == ("http://127.0.0.1:*", "https://*.example.org:8443")


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("db.example", "db.example")]
)
def test_links_show_an_address_that_can_be_opened(tmp_path: Path, host: str, shown: str) -> None:
    assert read(tmp_path, HOST=host, PORT="81").public_url == f"http://{shown}:81"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("HOST", "not a host"),
        ("DATABASE_URL", "mysql://db/name"),
        ("DATABASE_URL", "postgres://db:port/name"),
        ("DATABASE_URL", "postgres://db"),
        ("REDIS_URL", "http://redis"),
        ("REDIS_URL", "redis://host:99999"),
        ("PUBLIC_URL", "mirror.example.org"),
        ("PUBLIC_URL", "https://mirror.example.org/below"),
        ("UPSTREAM_ALLOW", "conda.example.org"),
        ("UPSTREAM_ALLOW", "file:///srv"),
        ("UPSTREAM_ALLOW", "https://*"),
        ("UPSTREAM_ALLOW", "https://a.example/path"),
        ("TRUSTED_PROXIES", "nginx"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TZ", "Mars/Olympus"),
        ("TZ", "../etc/passwd"),
        ("SECRET_KEY", "short"),
        ("ADMIN_PASSWORD", "a"),
        ("UPSTREAM_ALLOW", "https://files.internal=10.0.0.1/8"),
        ("UPSTREAM_TIMEOUT", "never"),
        ("UPSTREAM_TIMEOUT", "0"),
        ("UPSTREAM_CONNECTIONS", "0"),
        ("CA_BUNDLE", "/no/such/file"),
        ("SSL_CERT_FILE", "/no/such/file"),
        ("REQUESTS_CA_BUNDLE", __file__),
        ("DEBUG", "perhaps"),
        ("WORKERS", "-1"),
        ("LEASE_SECONDS", "0"),
        ("LEASE_SECONDS", "soon"),
        ("OSV_URL", "osv.example.org"),
        ("NVD_URL", "ftp://nvd.example.org"),
        ("CONDA_MAPPING_URL", "https://me:secret@example.org/map.json"),
    ],
)
def test_a_bad_value_is_named_in_a_sentence(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(BadEnvironment) as raised:
        read(tmp_path, **{name: value})
    assert str(raised.value).startswith(f"{name}=")
    assert " cannot be used: " in str(raised.value)
    assert str(raised.value).endswith(".")


def test_a_heartbeat_must_be_shorter_than_the_lease(tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment, match="less than LEASE_SECONDS"):
        read(tmp_path, LEASE_SECONDS="4", HEARTBEAT_SECONDS="4")


def test_a_data_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadEnvironment, match=r"DATA=.*a folder this user may write to"):
        environment.read({"DATA": str(tmp_path / "file" / "below")})


def test_no_secret_appears_in_an_error_or_in_a_dump(tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment) as raised:
        read(tmp_path, DATABASE_URL="mysql://user:s3cret@db/name")
    assert "s3cret" not in str(raised.value)
    found = read(
        tmp_path,
        SECRET_KEY="s3cret" * 8,
        ADMIN_PASSWORD="s3cret" * 2,
        DATABASE_URL="postgres://u:s3cret@db/name",
        REDIS_URL="redis://:s3cret@redis",
    )
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize("name", environment.NOT_YET)
def test_a_variable_whose_feature_does_not_exist_stops_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadEnvironment, match=rf"^{name}=.*this version does not .* yet") as raised:
        read(tmp_path, **{name: "s3cret"})
    assert "s3cret" not in str(raised.value)


ENVIRON = re.compile(r"\bos\.environ\b|\bgetenv\b|from os import")
ROOMS = (
    "accounts",
    "advisories",
    "channels",
    "ecosystems",
    "filters",
    "history",
    "mirrors",
    "mirrorserver",
)


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
        for room in ("*.py", *(f"{room}/**/*.py" for room in ROOMS))
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


def test_a_rate_is_requests_and_seconds_or_off(tmp_path: Path) -> None:
    assert read(tmp_path, LIMIT_WRITES="5/10").limit_writes == "5/10"
    assert read(tmp_path, LIMIT_WRITES="Off").limit_writes == ""
    for bad in ("0/60", "60", "60 per minute", "-1/60", "1/minute", "9999999999/60"):
        with pytest.raises(BadEnvironment, match=r"LIMIT_WRITES.*a rate like 60/60"):
            read(tmp_path, LIMIT_WRITES=bad)
