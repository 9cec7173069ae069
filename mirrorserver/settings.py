"""Django's settings, all of them from `mirrorserver.environment`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ecosystems.upstream.limits import Limits
from mirrorserver import environment, variables
from mirrorserver.pip_index import python_index

ENV = environment.load()
BASE_DIR = Path(__file__).resolve().parent.parent

# What this product's own code reads.
VERSION = "0.1.0"
DATA = ENV.data
PUBLIC_URL = ENV.public_url
UPSTREAM_ALLOW = ENV.upstream_allow
UPSTREAM_LIMITS = Limits.patient(ENV.upstream_timeout, connections=ENV.upstream_connections)
CA_FILES = ENV.ca_files
OSV_URL = ENV.osv_url
NVD_URL = ENV.nvd_url
CONDA_MAPPING_URL = ENV.conda_mapping_url
MALWARE_IN_FROZEN = ENV.malware_in_frozen
STALE_FEED_DAYS = ENV.stale_feed_days
PYTHON_INDEX = python_index()
LEASE_SECONDS = ENV.lease_seconds
HEARTBEAT_SECONDS = ENV.heartbeat_seconds
DISPATCH_SECONDS = ENV.dispatch_seconds
PUBLISH_MINUTES = ENV.publish_minutes
DOWNLOAD_THREADS = ENV.download_threads
LIMIT_WRITES = ENV.limit_writes
LIMIT_RUNS = ENV.limit_runs
LIMIT_TESTS = ENV.limit_tests
LIMIT_PREVIEWS = ENV.limit_previews
LIMIT_DOWNLOADS = ENV.limit_downloads
WEB_THREADS = ENV.web_threads
FETCH_THREADS = ENV.fetch_threads
STALLED_SECONDS = ENV.stalled_seconds
FETCH_WAITERS = ENV.fetch_waiters
FETCH_SECONDS = ENV.fetch_seconds
X_ACCEL = ENV.x_accel
TRUSTED_PROXIES = ENV.trusted_proxies
SIGN_IN_RATE = ENV.sign_in_rate
SIGN_IN_ADDRESS_RATE = ENV.sign_in_address_rate
SESSION_IDLE_HOURS = ENV.session_idle_hours
SESSION_DAYS = ENV.session_days
TOKEN_DAYS = ENV.token_days
AUDIT_DAYS = ENV.audit_days
AUDIT_ROWS = ENV.audit_rows
PREVIEW_HOURS = 24
KEEP_HOURS = 72
KEEP_DAYS = 30
BLOB_GRACE_HOURS = 24
MIN_FREE_BYTES = 256 * 1024 * 1024
REFUSAL_SECONDS = 45
FLUSH_SECONDS = 3
GUARD_MIN = 20
GUARD_SHARE = 0.10
# So many of a run's new files may fail, the larger of a number and a share of them, before what
# the upstream dropped stays until a complete run.
FAILED_MIN = 1
FAILED_SHARE = 0.05
RUN_ATTEMPTS = 3
SCHEDULE_GRACE = timedelta(minutes=2)
PUBLISH_AGAIN_SECONDS = 30
# How long a statement waits for what somebody else holds locked, and for PostgreSQL to answer.
LOCK_SECONDS = 20
CONNECT_SECONDS = 10

DEBUG = ENV.debug
SECRET_KEY = ENV.secret_key
ALLOWED_HOSTS = [urlsplit(PUBLIC_URL).hostname or "127.0.0.1", "127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
ROOT_URLCONF = "mirrorserver.urls"
AUTH_USER_MODEL = "accounts.User"
APPEND_SLASH = True
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "/"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]

# Sign-in by django-allauth: local accounts that administrators make. What later versions add
# (OpenID Connect, several factors) are more of its apps.
ACCOUNT_ADAPTER = "accounts.adapter.Adapter"
ACCOUNT_FORMS = {
    "login": "web.pages.account_forms.SignInForm",
    "change_password": "web.pages.account_forms.NewPasswordForm",
}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*"]
ACCOUNT_SIGNUP_ENABLED = False
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_LOGOUT_REDIRECT_URL = "sign-in"
ACCOUNT_SESSION_REMEMBER = True
# Tries to sign in are counted by accounts.passwords: allauth counts an account over all addresses,
# so whoever guesses would lock out its owner.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": None}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.usersessions",
    "ninja",
    "django_celery_beat",
    "history",
    "accounts",
    "filters",
    "advisories",
    "channels",
    "mirrors",
    "web",
    "mirrorserver",
]

MIDDLEWARE = [
    "web.security_headers.set_security_headers",
    "accounts.locks.fail_fast_middleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "web.throttle.Pages",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.sessions.expire_sessions",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]


def _database() -> dict[str, Any]:
    config: dict[str, Any] = dict(ENV.database)
    if ENV.sqlite:
        config["ENGINE"] = "mirrorserver.sqlite3"
        config["OPTIONS"] = {
            "timeout": LOCK_SECONDS,
            "transaction_mode": "IMMEDIATE",
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                " PRAGMA cache_size=-4000;"
            ),
        }
        # A file also under test: runs, hearts and clients are threads and processes of their own.
        config["TEST"] = {"NAME": str(DATA / "test.sqlite3")}
    else:
        config["CONN_HEALTH_CHECKS"] = True
        options: dict[str, Any] = config.setdefault("OPTIONS", {})
        options.setdefault("connect_timeout", CONNECT_SECONDS)
        # What DATABASE_URL says itself comes last, so it counts.
        given = options.get("options", "")
        options["options"] = f"-c lock_timeout={LOCK_SECONDS}s {given}".strip()
    config["CONN_MAX_AGE"] = 60
    return config


DATABASES = {"default": _database()}

CACHES: dict[str, dict[str, Any]] = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": ENV.redis_url}
        if ENV.redis_url
        else {
            # A table, as the limits count over all processes of the server.
            "BACKEND": "accounts.cache.SharedCache",
            "LOCATION": "cache",
            "OPTIONS": {"MAX_ENTRIES": 50_000},
        }
    )
}

MIN_PASSWORD_LENGTH = variables.MIN_PASSWORD_LENGTH
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": MIN_PASSWORD_LENGTH},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("username", "email")},
    },
    {"NAME": "accounts.validators.ProductNameValidator"},
]

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_CRON_TIMEZONE = ENV.time_zone

STATIC_URL = "/static/"
STATIC_ROOT = DATA / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"
        if not DEBUG
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

SESSION_ENGINE = "accounts.session_store"
SESSION_COOKIE_AGE = round(SESSION_IDLE_HOURS * 3600)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    # No other host of the domain, and nobody on the way, can set these.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # Other hosts of the domain are not this server's to decide on,
    "security.W021",  # nor is the browsers' list that holds whole domains.
    "security.W008",  # The proxy that ends TLS redirects; nobody else reaches this server.
]
SECURE_CONTENT_TYPE_NOSNIFF = True
# Not "no-referrer": browsers would then send forms with the origin null, which is refused.
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {"redaction": {"()": "mirrorserver.log_redaction.RedactionFilter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["redaction"]}
    },
    "root": {"handlers": ["console"], "level": "INFO"},
}
