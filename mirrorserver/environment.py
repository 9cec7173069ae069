"""What the operator says through environment variables, read once and checked.

The rule: every variable is read here and nowhere else, an empty value counts as absent, and a
bad value is a `BadEnvironment` whose text names the variable, the value and what is expected.
"""

import fcntl
import functools
import ipaddress
import os
import re
import secrets
import ssl
import stat
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from ecosystems.upstream.authorities import add_authorities
from ecosystems.upstream.egress import AllowPattern
from mirrorserver.pipindex import python_index

PROJECT = Path(__file__).resolve().parent.parent

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

NOT_YET = {
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

LOOSE = 0o027
"""What nobody but its owner, and its group for reading, may do with `DATA`: nginx may need to."""
DATABASE_NAME = "mirrorserver.sqlite3"
KNOWN_NAMES = frozenset({"secret.key", "blobs", "run", "tmp", "logs", "static", "broker"})

SHORTEST_SECRET_KEY = 32
SHORTEST_PASSWORD = 12
"""As for every other user, see AUTH_PASSWORD_VALIDATORS."""

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_RATE = re.compile(r"[1-9][0-9]{0,8}/[1-9][0-9]{0,8}")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class BadEnvironment(Exception):
    """A variable that cannot be used; its text is for the operator."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"{name}={value!r} cannot be used: {expected}.")
        self.name = name


@dataclass(frozen=True)
class Environment:
    """The whole environment, typed. Fields carry their variable's name in lower case."""

    host: str
    port: int
    data: Path
    admin_password: str | None = field(repr=False)
    database: dict[str, Any] = field(repr=False)
    redis_url: str | None = field(repr=False)
    secret_key: str = field(repr=False)
    public_url: str
    upstream_allow: tuple[str, ...]
    upstream_timeout: float
    upstream_connections: int
    ca_files: tuple[str, ...]
    osv_url: str | None
    nvd_url: str | None
    conda_mapping_url: str | None
    time_zone: str
    # What follows is for operators with unusual needs and for tests, which cannot wait.
    debug: bool
    x_accel: bool
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    workers: int
    web_threads: int
    connections: int
    idle_seconds: int
    stalled_seconds: int
    fetch_threads: int
    fetch_waiters: int
    fetch_seconds: float
    run_processes: int
    download_threads: int
    lease_seconds: float
    heartbeat_seconds: float
    dispatch_seconds: float
    publish_minutes: float
    limit_writes: str
    limit_runs: str
    limit_tests: str
    limit_previews: int
    limit_downloads: int
    sign_in_rate: str
    sign_in_address_rate: str
    session_idle_hours: float
    session_days: int
    token_days: int
    audit_days: int
    audit_rows: int

    @property
    def sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return bool(self.database["ENGINE"] == "django.db.backends.sqlite3")


@functools.cache
def load() -> Environment:
    """The environment of this process; creates `DATA` and, where needed, its secret key."""
    return read(os.environ)


def read(variables: Mapping[str, str]) -> Environment:
    """`variables` as an Environment, or `BadEnvironment`."""
    get = _Reader(variables)
    get.refuse_not_yet()
    host, port = get.host(), get.whole("PORT", 8000, low=1, high=65535)
    data = _data_folder(get.text("DATA"))
    lease = get.number("LEASE_SECONDS", 60)
    heartbeat = get.number("HEARTBEAT_SECONDS", 5)
    if heartbeat >= lease:
        raise BadEnvironment(
            "HEARTBEAT_SECONDS", f"{heartbeat:g}", f"less than LEASE_SECONDS ({lease:g}) expected"
        )
    return Environment(
        host=host,
        port=port,
        data=data,
        admin_password=get.password("ADMIN_PASSWORD"),
        database=get.database(data / DATABASE_NAME),
        redis_url=get.url("REDIS_URL", ("redis", "rediss", "unix")),
        public_url=get.public_url(host, port),
        upstream_allow=get.upstream_allow(),
        upstream_timeout=get.number("UPSTREAM_TIMEOUT", 60),
        upstream_connections=get.whole("UPSTREAM_CONNECTIONS", 4, low=1, high=64),
        ca_files=get.ca_files(),
        osv_url=get.feed("OSV_URL"),
        nvd_url=get.feed("NVD_URL"),
        conda_mapping_url=get.feed("CONDA_MAPPING_URL"),
        time_zone=get.time_zone(),
        debug=get.flag("DEBUG"),
        x_accel=get.flag("X_ACCEL"),
        trusted_proxies=get.networks("TRUSTED_PROXIES"),
        workers=get.whole("WORKERS", 2, low=1, high=64),
        web_threads=get.whole("WEB_THREADS", 16, low=1, high=1024),
        connections=get.whole("CONNECTIONS", 4096, low=64, high=65536),
        idle_seconds=get.whole("IDLE_SECONDS", 30, low=1, high=60),
        stalled_seconds=get.whole("STALLED_SECONDS", 60, low=1, high=3600),
        fetch_threads=get.whole("FETCH_THREADS", 32, low=1, high=1024),
        fetch_waiters=get.whole("FETCH_WAITERS", 1000, low=1, high=65536),
        fetch_seconds=get.number("FETCH_SECONDS", 50),
        run_processes=get.whole("RUN_PROCESSES", 2, low=1, high=64),
        download_threads=get.whole("DOWNLOAD_THREADS", 8, low=1, high=64),
        lease_seconds=lease,
        heartbeat_seconds=heartbeat,
        dispatch_seconds=get.number("DISPATCH_SECONDS", 5),
        publish_minutes=get.number("PUBLISH_MINUTES", 15),
        limit_writes=get.rate("LIMIT_WRITES", "600/60"),
        limit_runs=get.rate("LIMIT_RUNS", "12/60"),
        limit_tests=get.rate("LIMIT_TESTS", "20/60"),
        limit_previews=get.whole("LIMIT_PREVIEWS", 4, low=1, high=1000),
        limit_downloads=get.whole("LIMIT_DOWNLOADS", 64, low=1, high=65536),
        sign_in_rate=get.rate("SIGN_IN_RATE", "5/60"),
        sign_in_address_rate=get.rate("SIGN_IN_ADDRESS_RATE", "30/60"),
        session_idle_hours=get.number("SESSION_IDLE_HOURS", 8),
        session_days=get.whole("SESSION_DAYS", 14, low=1, high=365),
        token_days=get.whole("TOKEN_DAYS", 365, low=1, high=3650),
        audit_days=get.whole("AUDIT_DAYS", 365, low=1, high=36500),
        audit_rows=get.whole("AUDIT_ROWS", 1_000_000, low=1000, high=999_999_999),
        secret_key=get.secret_key(data / "secret.key"),
    )


class _Reader:
    """One method per kind of value, each with its own words for what it expects."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str) -> str | None:
        return self._variables.get(name, "").strip() or None

    def refuse_not_yet(self) -> None:
        for name, purpose in NOT_YET.items():
            if self.text(name) is not None:
                expected = f"this version does not {purpose} yet; start without the variable"
                raise BadEnvironment(name, "***", expected)

    def password(self, name: str) -> str | None:
        value = self.text(name)
        if value is not None and len(value) < SHORTEST_PASSWORD:
            raise BadEnvironment(name, "***", f"at least {SHORTEST_PASSWORD} characters expected")
        return value

    def flag(self, name: str) -> bool:
        value = (self.text(name) or "0").lower()
        if value not in _TRUE | _FALSE:
            raise BadEnvironment(name, value, "1 or 0 expected")
        return value in _TRUE

    def whole(self, name: str, default: int, *, low: int, high: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise BadEnvironment(name, value, f"a whole number from {low} to {high} expected")
        return int(value)

    def rate(self, name: str, default: str) -> str:
        """`60/60` (requests and seconds); "" where the operator wants no limit."""
        value = (self.text(name) or default).lower()
        if value == "off":
            return ""
        if not _RATE.fullmatch(value):
            expected = "a rate like 60/60 (so many requests in so many seconds), or off, expected"
            raise BadEnvironment(name, value, expected)
        return value

    def number(self, name: str, default: float) -> float:
        value = self.text(name)
        if value is None:
            return float(default)
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) or float(value) <= 0:
            raise BadEnvironment(name, value, "a number above 0 expected")
        return float(value)

    def host(self) -> str:
        value = self.text("HOST") or "127.0.0.1"
        if not _HOST_NAME.fullmatch(value) and not _is_address(value):
            raise BadEnvironment("HOST", value, "an IP address or a host name expected")
        return value

    def url(self, name: str, schemes: tuple[str, ...]) -> str | None:
        value = self.text(name)
        if value is None:
            return None
        expected = f"an address like {schemes[0]}://host[:port] expected"
        try:
            parts = urlsplit(value)
            valid = parts.scheme in schemes and bool(parts.hostname or parts.scheme == "unix")
            valid = valid and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            # Such addresses may carry a password, and this text ends up in logs.
            raise BadEnvironment(name, re.sub(r"//[^/]*@", "//***@", value), expected)
        return value

    def feed(self, name: str) -> str | None:
        """An address to fetch from, shown to administrators as it is."""
        value = self.url(name, ("https", "http"))
        if value is not None and "@" in urlsplit(value).netloc:
            shown = re.sub(r"//[^/]*@", "//***@", value)
            raise BadEnvironment(name, shown, "an address without a login expected")
        return value

    def public_url(self, host: str, port: int) -> str:
        value = self.url("PUBLIC_URL", ("http", "https"))
        if value is None:
            shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
            return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
        parts = urlsplit(value)
        if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise BadEnvironment("PUBLIC_URL", value, "scheme://host[:port] without more expected")
        return value.rstrip("/")

    def database(self, default: Path) -> dict[str, Any]:
        value = self.text("DATABASE_URL")
        if value is None:
            return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(default)}
        shown = re.sub(r"//[^/]*@", "//***@", value)
        expected = "postgres://user:password@host:port/name or sqlite:////path/to/file expected"
        scheme = value.partition("://")[0]
        if scheme not in ("postgres", "postgresql", "sqlite"):
            raise BadEnvironment("DATABASE_URL", shown, expected)
        try:
            config: dict[str, Any] = environ.Env.db_url_config(value)
        except (ValueError, ImproperlyConfigured) as error:
            raise BadEnvironment("DATABASE_URL", shown, expected) from error
        if not config["NAME"]:
            raise BadEnvironment("DATABASE_URL", shown, expected)
        return config

    def upstream_allow(self) -> tuple[str, ...]:
        value = self.text("UPSTREAM_ALLOW")
        if value is None:
            return DEFAULT_UPSTREAM_ALLOW
        patterns = tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
        for pattern in patterns:
            try:
                AllowPattern.parse(pattern)
            except ValueError as error:
                raise BadEnvironment(
                    "UPSTREAM_ALLOW", pattern, str(error).partition(": ")[2].rstrip(".")
                ) from error
        return patterns

    def ca_files(self) -> tuple[str, ...]:
        """Further certificate authorities; without our variable, those of other programs."""
        for names in (("CA_BUNDLE",), ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")):
            found = {value: name for name in names if (value := self.text(name)) is not None}
            for path, name in found.items():
                try:
                    add_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path)
                except OSError as error:
                    expected = f"a file of certificates in PEM format expected ({error})"
                    raise BadEnvironment(name, path, expected) from error
            if found:
                return tuple(found)
        return ()

    def networks(self, name: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        found = []
        for part in (self.text(name) or "").split(","):
            if not part.strip():
                continue
            try:
                found.append(ipaddress.ip_network(part.strip()))
            except ValueError as error:
                expected = "addresses or networks like 10.0.0.0/8 separated by commas expected"
                raise BadEnvironment(name, part.strip(), expected) from error
        return tuple(found)

    def time_zone(self) -> str:
        value = self.text("TZ") or "UTC"
        try:
            zoneinfo.ZoneInfo(value)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
            expected = "a time zone like Europe/Berlin or UTC expected"
            raise BadEnvironment("TZ", value, expected) from error
        return value

    def secret_key(self, file: Path) -> str:
        value = self.text("SECRET_KEY")
        if value is None:
            return _kept_secret(file)
        if len(value) < SHORTEST_SECRET_KEY:
            expected = f"at least {SHORTEST_SECRET_KEY} characters nobody can guess expected"
            raise BadEnvironment("SECRET_KEY", "***", expected)
        return value


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _data_folder(value: str | None) -> Path:
    folder = Path(value).expanduser().absolute() if value else PROJECT / "var"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadEnvironment("DATA", str(folder), _unusable(error)) from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise BadEnvironment("DATA", str(folder), "a folder this user may write to expected")
    _close(folder)
    return folder


def _close(folder: Path) -> None:
    """Take a loose folder's rights from others; refuse one that is not the server's to close."""
    found = folder.stat()
    if not stat.S_IMODE(found.st_mode) & LOOSE:
        return
    ours = found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX
    names = {entry.name for entry in folder.iterdir()}
    if not ours or (names and not names & KNOWN_NAMES and DATABASE_NAME not in names):
        raise BadEnvironment(
            "DATA",
            str(folder),
            "a folder of the server's own, which other users cannot read, expected; name an empty "
            f"one, or run: chmod go-w,o-rwx {folder}",
        )
    folder.chmod(stat.S_IMODE(found.st_mode) & ~LOOSE)


def file_mask(folder: Path) -> int:
    """The umask for what is written below `folder`: its group may read it only if it lets it in."""
    return 0o027 if folder.stat().st_mode & stat.S_IXGRP else 0o077


def _kept_secret(file: Path) -> str:
    """The key in `file`, made at the first call; the lock lets one of several starters write."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+", encoding="ascii") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            kept = opened.read().strip()
            if not kept:
                kept = secrets.token_urlsafe(48)
                opened.write(kept)
                opened.flush()
                os.fsync(opened.fileno())
            return kept
    except (OSError, UnicodeDecodeError) as error:
        raise BadEnvironment("DATA", str(file), _unusable(error)) from error


def _unusable(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"a folder this user may write to expected ({reason})"
