"""Each kind of value: what it means, and the sentence for a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirrorserver import environment
from mirrorserver.environment import Environment
from mirrorserver.variables import BadEnvironment


def read(tmp_path: Path, **variables: str) -> Environment:
    return environment.read({"DATA": str(tmp_path / "var"), **variables})


@pytest.mark.parametrize(
    ("url", "engine", "name"),
    [
        ("postgres://u:p%40ss@db:5433/name", "django.db.backends.postgresql", "name"),
        ("postgresql:///name", "django.db.backends.postgresql", "name"),
        ("sqlite:////srv/x.db", "django.db.backends.sqlite3", "/srv/x.db"),
    ],
)
def test_a_database_url_is_understood(tmp_path: Path, url: str, engine: str, name: str) -> None:
    env = read(tmp_path, DATABASE_URL=url)
    assert (env.database["ENGINE"], env.database["NAME"]) == (engine, name)


def test_allowed_upstreams_are_split_at_commas(tmp_path: Path) -> None:
    env = read(tmp_path, UPSTREAM_ALLOW="http://127.0.0.1:*, https://*.example.org:8443/,")
    assert env.upstream_allow == ("http://127.0.0.1:*", "https://*.example.org:8443")


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
        ("MALWARE_IN_FROZEN", "perhaps"),
        ("STALE_FEED_DAYS", "0"),
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


def test_a_rate_is_requests_and_seconds_or_off(tmp_path: Path) -> None:
    assert read(tmp_path, LIMIT_WRITES="5/10").limit_writes == "5/10"
    assert read(tmp_path, LIMIT_WRITES="Off").limit_writes == ""
    for bad in ("0/60", "60", "60 per minute", "-1/60", "1/minute", "9999999999/60"):
        with pytest.raises(BadEnvironment, match=r"LIMIT_WRITES.*a rate like 60/60"):
            read(tmp_path, LIMIT_WRITES=bad)
