"""What the operator says through environment variables, read once and checked.

Every variable is read here and nowhere else, an empty value counts as absent, and a bad value is a
`BadEnvironment` whose text names the variable, the value and what is expected.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorserver import data_folder, variables
from mirrorserver.pip_index import python_index
from mirrorserver.variables import BadEnvironment, Network, Parser, T, integer, number, rate

PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_DATA = PROJECT / "var"
SQLITE = "django.db.backends.sqlite3"

# The vendor's conda hosts, conda-forge's (which is conda.anaconda.org), the storage that both
# redirect to, CRAN's main host and its content network, and the Python index that pip uses.
DEFAULT_UPSTREAM_ALLOW = (
    "https://repo.anaconda.com",
    "https://repo.anaconda.cloud",
    "https://conda.anaconda.org",
    "https://anaconda.org",
    "https://anaconda.com",
    "https://api.anaconda.cloud",
    "https://binstar-cio-packages-prod.s3.amazonaws.com",
    "https://cran.r-project.org",
    "https://cloud.r-project.org",
    *python_index().allow,
)

PLANNED = {
    **dict.fromkeys(
        (
            "S3_BUCKET", "S3_ENDPOINT_URL", "S3_REGION", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY",
            "S3_PREFIX",
        ),
        "keep files in object storage",
    ),
    **dict.fromkeys(
        ("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"), "offer single sign-on"
    ),
    "METRICS_TOKEN": "offer /metrics",
}  # fmt: skip
"""Variables whose feature does not exist yet: whoever sets one must not think that it acts."""

_CA_VARIABLES = (("CA_BUNDLE",), ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))
"""The first group of which one is set counts: ours, else those of other programs."""


def _variable(parser: Parser[T], name: str = "", *, secret: bool = False) -> T:
    """A field that `parser` reads from the variable `name`, by default the field's in upper case.

    A secret one is left out of the `repr`, which may end up in a log.
    """
    declared: T = dataclasses.field(metadata={"parser": parser, "name": name}, repr=not secret)
    return declared


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The whole environment, typed: each field with the parser of its variable."""

    host: str = _variable(variables.listen_host)
    port: int = _variable(integer(8000, low=1, high=65535))
    admin_password: str | None = _variable(variables.password, secret=True)
    redis_url: str | None = _variable(variables.url("redis", "rediss", "unix"), secret=True)
    upstream_allow: tuple[str, ...] = _variable(variables.allow_patterns(DEFAULT_UPSTREAM_ALLOW))
    upstream_timeout: float = _variable(number(60))
    upstream_connections: int = _variable(integer(4, low=1, high=64))
    osv_url: str | None = _variable(variables.feed_url)
    nvd_url: str | None = _variable(variables.feed_url)
    conda_mapping_url: str | None = _variable(variables.feed_url)
    malware_in_frozen: str = _variable(variables.choice("remove", "keep"))
    stale_feed_days: int = _variable(integer(7, low=1, high=3650))
    time_zone: str = _variable(variables.time_zone, "TZ")

    # What `read` works out: from several variables, or by writing to the disk.
    data: Path
    database: dict[str, object] = dataclasses.field(repr=False)
    secret_key: str = dataclasses.field(repr=False)
    public_url: str
    ca_files: tuple[str, ...]

    # What follows is for operators with unusual needs and for tests, which cannot wait.
    debug: bool = _variable(variables.flag)
    x_accel: bool = _variable(variables.flag)
    trusted_proxies: tuple[Network, ...] = _variable(variables.networks)
    workers: int = _variable(integer(2, low=1, high=64))
    web_threads: int = _variable(integer(16, low=1, high=1024))
    connections: int = _variable(integer(4096, low=64, high=65536))
    idle_seconds: int = _variable(integer(30, low=1, high=60))
    stalled_seconds: int = _variable(integer(60, low=1, high=3600))
    fetch_threads: int = _variable(integer(32, low=1, high=1024))
    fetch_waiters: int = _variable(integer(1000, low=1, high=65536))
    fetch_seconds: float = _variable(number(50))
    run_processes: int = _variable(integer(2, low=1, high=64))
    download_threads: int = _variable(integer(8, low=1, high=64))
    lease_seconds: float = _variable(number(60))
    heartbeat_seconds: float = _variable(number(5))
    dispatch_seconds: float = _variable(number(5))
    publish_minutes: float = _variable(number(15))
    limit_writes: str = _variable(rate("600/60"))
    limit_runs: str = _variable(rate("12/60"))
    limit_tests: str = _variable(rate("20/60"))
    limit_previews: int = _variable(integer(4, low=1, high=1000))
    limit_downloads: int = _variable(integer(64, low=1, high=65536))
    sign_in_rate: str = _variable(rate("5/60"))
    sign_in_address_rate: str = _variable(rate("30/60"))
    session_idle_hours: float = _variable(number(8))
    session_days: int = _variable(integer(14, low=1, high=365))
    token_days: int = _variable(integer(365, low=1, high=3650))
    audit_days: int = _variable(integer(365, low=1, high=36500))
    audit_rows: int = _variable(integer(1_000_000, low=1000, high=999_999_999))

    @property
    def sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self.database["ENGINE"] == SQLITE


@functools.cache
def load() -> Environment:
    """The environment of this process; creates `DATA` and, where needed, its secret key."""
    return read(os.environ)


def read(environ: Mapping[str, str]) -> Environment:
    """`environ` as an Environment, or `BadEnvironment`."""
    _refuse_planned(environ)
    # The values of the fields below `Environment`, whose types mypy has checked there.
    values: dict[str, Any] = {
        field.name: _parse(
            environ, field.metadata["name"] or field.name.upper(), field.metadata["parser"]
        )
        for field in dataclasses.fields(Environment)
        if field.metadata
    }
    lease, heartbeat = values["lease_seconds"], values["heartbeat_seconds"]
    if heartbeat >= lease:
        # A worker that is well would lose its rows between two heartbeats.
        expected = f"less than LEASE_SECONDS ({lease:g}) expected"
        raise BadEnvironment("HEARTBEAT_SECONDS", f"{heartbeat:g}", expected)
    data = _parse(environ, "DATA", variables.folder) or DEFAULT_DATA
    public_url = _parse(environ, "PUBLIC_URL", variables.origin_url)
    database = _parse(environ, "DATABASE_URL", variables.database)
    secret_key = _parse(environ, "SECRET_KEY", variables.secret_key)
    ca_files = _ca_files(environ)
    # Last, as the first of all these that writes: a bad value must leave nothing behind.
    data_folder.prepare(data)
    return Environment(
        **values,
        data=data,
        public_url=public_url or _local_url(values["host"], values["port"]),
        database=database or {"ENGINE": SQLITE, "NAME": str(data / data_folder.DATABASE_NAME)},
        secret_key=secret_key or data_folder.secret_key(data / "secret.key"),
        ca_files=ca_files,
    )


def _parse(environ: Mapping[str, str], name: str, parser: Parser[T]) -> T:
    return parser(name, environ.get(name, "").strip() or None)


def _refuse_planned(environ: Mapping[str, str]) -> None:
    for name, purpose in PLANNED.items():
        if environ.get(name, "").strip():
            expected = f"this version does not {purpose} yet; start without the variable"
            raise BadEnvironment(name, "***", expected)


def _ca_files(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Further certificate authorities, each file once."""
    for names in _CA_VARIABLES:
        files = [_parse(environ, name, variables.certificates) for name in names]
        if any(files):
            return tuple(dict.fromkeys(file for file in files if file))
    return ()


def _local_url(host: str, port: int) -> str:
    # The addresses that mean "every interface" can be listened on, but not be opened.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
