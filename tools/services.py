"""`services.py COMMAND...`: runs the command with a PostgreSQL and a Redis of its own.

The rule: both are started empty in a temporary folder and are gone afterwards, so the machine's
own servers are neither needed nor touched. The programs are Debian's where they are installed;
root installs them where they are not, and a plain user gets them as Python packages.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PACKAGED = PROJECT / ".venv" / "services"
DEBIAN = {"initdb": "postgresql", "redis-server": "redis-server"}
START_SECONDS = 60.0


def main() -> int:
    initdb, redis = program("initdb"), program("redis-server", "valkey-server")
    # An interrupt is for the command; this process stays to take the servers down.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # SIGTERM would end Python without the `with` blocks that stop the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with (
        tempfile.TemporaryDirectory(prefix="mirrorserver-services-") as folder,
        postgres(initdb.parent, Path(folder)) as database_url,
        valkey(redis, Path(folder)) as redis_url,
    ):
        variables = dict(os.environ, DATABASE_URL=database_url, REDIS_URL=redis_url)
        return subprocess.run(sys.argv[1:], env=variables, check=False).returncode


def program(*names: str) -> Path:
    """The path of the program under one of its names; it is installed where it is missing."""
    if file := _find(names):
        return file
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", DEBIAN[names[0]]]
        subprocess.run(["apt-get", "update", "-qq"], check=False, env=quiet)
        subprocess.run(install, check=True, env=quiet, stdout=subprocess.DEVNULL)
    else:
        # Into a folder of their own: the server's environment stays what its lock file says.
        lock = PROJECT / "requirements-services.lock"
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes"]
        subprocess.run([*install, "--target", str(PACKAGED), "-r", str(lock)], check=True)
    if file := _find(names):
        return file
    sys.exit(f"{names[0]} is missing and could not be installed.")


def _find(names: tuple[str, ...]) -> Path | None:
    # Debian keeps PostgreSQL's programs out of PATH, in a folder for each version.
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders = [*os.environ["PATH"].split(os.pathsep), *map(str, debian)]
    packaged = (f for name in names for f in PACKAGED.rglob(name) if "pginstall/" not in str(f))
    for name in names:
        if path := shutil.which(name, path=os.pathsep.join(folders)):
            return Path(path)
    return next((file for file in sorted(packaged) if os.access(file, os.X_OK)), None)


@contextmanager
def postgres(programs: Path, folder: Path) -> Iterator[str]:
    """A cluster on a local address; durability is off, as no data outlives the command."""
    data, port = folder / "postgres", free_port()
    data.mkdir()
    # PostgreSQL refuses to run as root.
    user = None
    if os.geteuid() == 0:
        user = "postgres" if _is_user("postgres") else "nobody"
        # The other user has to pass through the temporary folder, which only root may enter.
        folder.chmod(0o755)
        shutil.chown(data, user)
    trust = ["--auth=trust", "--username=mirrorserver", "--encoding=UTF8", "--no-sync"]
    subprocess.run(
        [str(programs / "initdb"), "-D", str(data), *trust],
        check=True,
        user=user,
        cwd=data,
        stdout=subprocess.DEVNULL,
    )
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": data}
    fast = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    arguments = [f"--{name}={value}" for name, value in {**options, **fast}.items()]
    with (folder / "postgres.log").open("wb") as log:
        command = [str(programs / "postgres"), "-D", str(data), *arguments]
        # In a session of its own: Ctrl-C reaches the command, and the servers outlive it.
        process = subprocess.Popen(
            command, user=user, cwd=data, stdout=log, stderr=log, start_new_session=True
        )
    # PostgreSQL's fast shutdown: SIGTERM would wait until every client has left.
    with _running(process, port, end=signal.SIGINT):
        yield f"postgres://mirrorserver@127.0.0.1:{port}/postgres"


@contextmanager
def valkey(server: Path, folder: Path) -> Iterator[str]:
    """A Redis or Valkey that writes nothing to disk."""
    port = free_port()
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(
            [str(server), "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    with _running(process, port, end=signal.SIGTERM):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _running(process: subprocess.Popen[bytes], port: int, *, end: signal.Signals) -> Iterator[None]:
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{process.args} does not start.")  # type: ignore[str-bytes-safe]
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(end)
        process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
