"""Django behind RSGI: a request's WSGI environment, its credentials, and the views' answer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from io import BytesIO
from pathlib import Path
from typing import IO
from wsgiref.types import WSGIEnvironment

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest

from accounts.errors import ApiError
from mirrorserver.rsgi.protocol import Headers, Scope
from web.api.authentication import Basic, Bearer, XAuth

IN_MEMORY = 1024 * 1024
CHUNK = 256 * 1024
BODILESS = frozenset({204, 304})

_django = get_wsgi_application()


@dataclass(slots=True)
class Answer:
    """What a view answered: bytes, a static file by its path, or a file without a name."""

    status: int
    headers: Headers
    body: bytes = b""
    path: Path | None = None
    file: IO[bytes] | None = None


# Bounded, because clients choose the names.
@lru_cache(maxsize=1024)
def _variable(name: str) -> str:
    upper = name.upper().replace("-", "_")
    return upper if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{upper}"


def request_of(scope: Scope) -> dict[str, str]:
    """The request as WSGI writes it, as far as packages' clients matter."""
    variables: dict[str, str] = {
        "REQUEST_METHOD": scope.method,
        # WSGI has bytes here, each as one character.
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
    }
    for name, value in scope.headers.items():
        # X_Auth and X-Auth would be the same variable.
        if "_" in name:
            continue
        variable = _variable(name)
        if variable in variables:
            variables[variable] += f"{'; ' if name == 'cookie' else ','}{value}"
        else:
            variables[variable] = value
    return variables


def environ_of(scope: Scope, request: dict[str, str], body: bytes | IO[bytes]) -> WSGIEnvironment:
    """The whole WSGI environment of a request whose body has been read."""
    host, _, port = scope.server.rpartition(":")
    client = scope.client.rpartition(":")[0].strip("[]")
    # The body is whole by now; Django would still take it for one in chunks.
    request.pop("HTTP_TRANSFER_ENCODING", None)
    return {
        **request,
        "CONTENT_LENGTH": str(_length(body) or ""),
        "SCRIPT_NAME": "",
        "SERVER_NAME": host.strip("[]"),
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(body) if isinstance(body, bytes) else body,
        "wsgi.errors": _Log(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": _File,
    }


def _length(body: bytes | IO[bytes]) -> int:
    if isinstance(body, bytes):
        return len(body)
    length = body.seek(0, 2)
    body.seek(0)
    return length


def is_authenticated(environ: WSGIEnvironment) -> bool:
    """Whether a valid token, password or session comes with the request.

    Raises Django's database errors, and `ApiError` where that cannot be judged now.
    """
    request = HttpRequest()
    request.META = environ
    try:
        if any(auth(request) is not None for auth in (Bearer(), XAuth(), Basic())):
            return True
    except ApiError as error:
        if error.status >= 500:
            raise
        return False
    key = _cookie(environ.get("HTTP_COOKIE", ""))
    if not key:
        return False
    request.session = SessionStore(key)
    return bool(get_user(request).is_authenticated)


def _cookie(text: str) -> str:
    try:
        morsel = SimpleCookie(text).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def answer(environ: WSGIEnvironment) -> Answer:
    """What the views say, whole: whatever they make while it is sent is made here first."""
    response = Answer(500, [])

    def start_response(status: str, headers: Headers, *_: object) -> Callable[[bytes], object]:
        response.status = int(status.split(maxsplit=1)[0])
        response.headers = list(headers)
        return _written

    pieces = _django(environ, start_response)
    try:
        if isinstance(pieces, _File) and pieces.path is not None:
            response.path = pieces.path
        else:
            _collect(response, pieces)
    finally:
        if hasattr(pieces, "close"):
            pieces.close()
    if environ["REQUEST_METHOD"] == "HEAD":
        response.body, response.path, response.file = b"", None, None
    return response


def _collect(response: Answer, pieces: Iterable[bytes]) -> None:
    """All of it in memory, or in a file without a name where it is large."""
    spool = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=_folder())  # noqa: SIM115 - given on
    for piece in pieces:
        spool.write(piece)
    size = spool.tell()
    if response.status not in BODILESS and not any(
        n.lower() == "content-length" for n, _ in response.headers
    ):
        response.headers.append(("Content-Length", str(size)))
    spool.seek(0)
    if size > IN_MEMORY:
        response.file = spool
        return
    with spool:
        response.body = spool.read()


def _written(_: bytes) -> object:
    raise NotImplementedError("Django gives its answers as pieces.")


def _folder() -> str:
    folder = Path(settings.DATA) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


class _File:
    """What Django wraps a file in that it wants to be sent; `path` where it is sent whole."""

    def __init__(self, file: IO[bytes], block_size: int = CHUNK) -> None:
        self._file, self._block = file, block_size
        name = getattr(file, "name", None)
        whole = isinstance(name, str) and hasattr(file, "fileno")
        self.path = Path(name).absolute() if whole and isinstance(name, str) else None

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(self._block), b"")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Log:
    """Where WSGI wants errors: they are logged elsewhere."""

    def write(self, text: str) -> None:
        """Nothing of ours writes here."""

    def flush(self) -> None:
        """Nothing to do."""
