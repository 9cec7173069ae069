"""Asks an index for one of its pages, in the forms and under the names that servers have."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin

from ecosystems.progress import Stop
from ecosystems.python.anchors import INDEX_FILES
from ecosystems.python.simple import ACCEPT, ACCEPT_HTML
from ecosystems.upstream import Client, FetchedFile, NotFound, NotModified, UpstreamError, redact

PAGE_CAP = 256 << 20
NOT_ACCEPTABLE = 406


def page(
    client: Client, url: str, path: Path, *, etag: str, last_modified: str, stop: Stop
) -> FetchedFile | NotModified:
    """A page, conditionally; NotFound where there is none in any form.

    Some servers redirect whoever names JSON to what is not there, or refuse it; and stores
    of files do not know that a folder's page is its `index.html`.
    """

    def ask(address: str, accept: str) -> FetchedFile | NotModified:
        return client.fetch_index(
            address,
            path,
            etag=etag or None,
            last_modified=last_modified or None,
            stop=stop,
            cap=PAGE_CAP,
            accept=accept,
            html=True,
        )

    try:
        return ask(url, ACCEPT)
    except UpstreamError as error:
        missing = isinstance(error, NotFound)
        if not missing and error.status != NOT_ACCEPTABLE:
            raise
        # Redirected away because of the Accept header: without JSON in it the page may be there.
        if not missing or error.url != redact(url):
            return ask(url, ACCEPT_HTML)
    return ask(urljoin(url, INDEX_FILES[0]), ACCEPT_HTML)


def projects(
    client: Client, root: str, path: Path, *, etag: str, last_modified: str, stop: Stop
) -> FetchedFile | NotModified:
    """The list of projects, conditionally; NotFound where there is none in any form."""
    try:
        return page(client, root, path, etag=etag, last_modified=last_modified, stop=stop)
    except NotFound:
        return client.fetch_index(
            root,
            path,
            etag=etag or None,
            last_modified=last_modified or None,
            stop=stop,
            accept=ACCEPT_HTML,
            html=True,
        )
