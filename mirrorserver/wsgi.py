"""The WSGI application: clients' requests for packages first, Django for everything else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorserver.settings")

_django = get_wsgi_application()

from channels import repo  # noqa: E402 - its models need Django to be set up
from channels.serving import addresses  # noqa: E402


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer one request."""
    if alias := addresses.alias(environ["PATH_INFO"]):
        return _django({**environ, "PATH_INFO": alias}, start_response)
    if addresses.ours(environ["PATH_INFO"]):
        return repo.application(environ, start_response)
    return _django(environ, start_response)
