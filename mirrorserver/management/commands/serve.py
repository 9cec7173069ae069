"""`manage.py serve`: the whole server in one process tree, or one part of it."""

import os
import resource
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import IO

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection, connections
from redis import Redis, RedisError

from accounts import first_start
from accounts.models import User
from mirrorserver import data_folder, environment, instance, storage
from mirrorserver.celery import app
from mirrorserver.supervisor import Part, Supervisor
from web import static_files

PARTS = ("web", "worker", "beat")
QUEUES = ("celery", "previews")
BAD_START_CODE = 2
FILE_THREADS = 512
REDIS_SECONDS = 10
"""How long Redis may take to accept a connection at the start: it may be starting as well."""
HEADER_BYTES = 32 * 1024
RESERVED_FILES = 256
"""Open files of a web process for everything that is not a connection."""


class Command(BaseCommand):
    """Prepares the database and static files, then supervises web, worker and schedule."""

    help = "Serve the website, run mirrors and keep the schedule, until Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", choices=PARTS, help="run just this part (containers do)")

    def handle(self, *_: object, only: str | None = None, **__: object) -> None:
        env = environment.load()
        # Every part inherits it: nobody else reads what the server writes.
        os.umask(data_folder.file_mask(env.data))
        names = (only,) if only else PARTS
        if "worker" in names:
            names = (*names, "previews")
        _require_storage(env)
        locks = _claim_locks(env, names)
        if "web" in names:
            _require_free_port(env)
        _require_services(env)
        if "web" in names:
            self._prepare(env)
        # The children open connections of their own.
        connections.close_all()
        logs = None if only else env.data / "logs"
        if logs is not None:
            logs.mkdir(exist_ok=True)
        supervisor = Supervisor(
            [_make_part(name, env) for name in names],
            keep_open=tuple(lock.fileno() for lock in locks),
            logs=logs,
        )
        code = supervisor.run(lambda: "web" not in names or self._announce(env))
        for lock in locks:
            lock.close()
        sys.exit(code)

    def _prepare(self, env: environment.Environment) -> None:
        try:
            call_command("migrate", interactive=False, verbosity=0)
            call_command("createcachetable", verbosity=0)
        except OperationalError as error:
            raise _service_error("The database", error) from error
        static_files.collect()
        if not env.redis_url:
            # Now, as two processes declaring a queue for the first time would race.
            with app.connection_for_write() as connection:
                for queue in QUEUES:
                    app.amqp.queues[queue].bind(connection.default_channel).declare()
        no_users = not User.objects.exists()
        try:
            generated = first_start.ensure_admin(env.admin_password)
        except first_start.BadPassword as error:
            raise CommandError(str(error), returncode=BAD_START_CODE) from error
        if no_users:
            shown = f"{generated} (shown only this once)" if generated else "as in ADMIN_PASSWORD"
            self.stdout.write(f"First start.\n  user name: admin\n  password:  {shown}")

    def _announce(self, env: environment.Environment) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(env.host, env.host)
        try:
            socket.create_connection((host, env.port), timeout=0.2).close()
        except OSError:
            return False
        self.stdout.write(f"The server is ready at {env.public_url}")
        self.stdout.flush()
        return True


def _claim_locks(env: environment.Environment, names: tuple[str, ...]) -> list[IO[str]]:
    # With Redis several workers may share the work; the embedded broker is for one.
    workers = ("worker", "previews")
    alone = set(names) <= set(workers)
    single = [name for name in names if not (name in workers and env.redis_url and alone)]
    try:
        return [instance.claim(env.data, name) for name in single]
    except instance.AlreadyRunning as error:
        raise CommandError(str(error), returncode=BAD_START_CODE) from error


def _require_storage(env: environment.Environment) -> None:
    try:
        storage.probe(env.data)
    except storage.Unfit as error:
        raise CommandError(str(error), returncode=BAD_START_CODE) from error


def _require_free_port(env: environment.Environment) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            env.host, env.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the server itself: connections that linger after a restart do not count as a use.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CommandError(
            f"Cannot listen on {env.host} port {env.port}: {error.strerror}. "
            "Set HOST or PORT to something else, or end the program that uses it.",
            returncode=BAD_START_CODE,
        ) from error


def _require_services(env: environment.Environment) -> None:
    """Fail now and with a sentence, as the parts would try again for hours."""
    try:
        connection.ensure_connection()
    except OperationalError as error:
        name = "The database" if env.sqlite else "The database of DATABASE_URL"
        raise _service_error(name, error) from error
    if env.redis_url:
        try:
            with Redis.from_url(env.redis_url, socket_connect_timeout=REDIS_SECONDS) as redis:
                redis.ping()
        except (RedisError, OSError) as error:
            raise _service_error("The Redis of REDIS_URL", error) from error


def _service_error(name: str, error: Exception) -> CommandError:
    """Libraries tell the host and the cause over several lines, and never the password."""
    cause = " ".join(str(error).split()).rstrip(".")
    return CommandError(f"{name} cannot be used: {cause}.", returncode=BAD_START_CODE)


def _make_part(name: str, env: environment.Environment) -> Part:
    variables = dict(os.environ, DJANGO_SETTINGS_MODULE="mirrorserver.settings")
    if not env.redis_url:
        # Messages pass through the temporary folder; on one filesystem that is a rename.
        variables["TMPDIR"] = str(_temporary_folder(env.data))
    modules = {
        "web": _web_command(env),
        "worker": _worker_command("worker", "celery", "prefork", env.run_processes),
        # It waits for upstreams most of the time; a process for it would stand idle.
        "previews": _worker_command("previews", "previews", "threads", 1),
        "beat": _beat_command(),
    }
    return Part(name, [sys.executable, "-m", *modules[name]], variables)


def _temporary_folder(data: Path) -> Path:
    folder = data / "tmp"
    folder.mkdir(exist_ok=True)
    return folder


def _web_command(env: environment.Environment) -> list[str]:
    return [
        "granian",
        *("--interface", "rsgi", "--host", env.host, "--port", str(env.port)),
        *("--http", "1", "--no-ws", "--log-level", "error", "--loop", "uvloop"),
        *("--workers", str(env.workers), "--respawn-failed-workers", "--workers-kill-timeout", "8"),
        # Connections beyond this wait in the kernel; none of them holds a thread.
        *("--backpressure", str(_connections(env))),
        # Each is a read of a file, or of a pipe in which there is nothing yet.
        *("--runtime-blocking-threads", str(FILE_THREADS)),
        *("--http1-header-read-timeout", str(env.idle_seconds * 1000)),
        *("--http1-buffer-size", str(HEADER_BYTES)),
        "mirrorserver.web_process:application",
    ]


def _connections(env: environment.Environment) -> int:
    """As many as asked for, unless the system gives fewer files: a download needs two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    affordable = (hard - RESERVED_FILES) // 2 if hard != resource.RLIM_INFINITY else env.connections
    return max(64, min(env.connections, affordable))


def _worker_command(name: str, queue: str, pool: str, size: int) -> list[str]:
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [
        *("celery", "--quiet", "--app", "mirrorserver", "worker", "--queues", queue),
        *("--pool", pool, "--concurrency", str(size), "--loglevel", "INFO", *quiet),
        # Several workers on one host need names of their own.
        *("--hostname", f"{name}-{os.getpid()}@%h"),
    ]


def _beat_command() -> list[str]:
    return [
        *("celery", "--quiet", "--app", "mirrorserver", "beat", "--loglevel", "INFO"),
        *("--scheduler", "django_celery_beat.schedulers:DatabaseScheduler"),
        *("--max-interval", "2"),
    ]
