"""What to paste into a client to use a channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from accounts.credentials import TOKEN_PASSWORD
from channels import access
from channels.models import Channel
from ecosystems.conda.channel import client_setup, with_token
from ecosystems.cran.layout import client_setup as r_setup
from mirrors.models import Mirror

TOKEN = "YOUR-TOKEN"
"""A placeholder: tokens are stored as hashes, so the server cannot fill one in."""
COMMAND_LINE = "on the command line"


@dataclass(frozen=True)
class Snippet:
    id: str
    client: str
    hint: str
    text: str


def snippets(channel: Channel) -> list[Snippet]:
    """Ready to paste, with the server's public address; a token's place where one is needed.

    For the types that the channel allows, else for those of its mirrors, else for conda.
    """
    token = "" if access.effective_privacy(channel) == Channel.Privacy.PUBLIC else TOKEN
    return [
        snippet for kind in _kinds(channel) for snippet in SNIPPETS_BY_TYPE[kind](channel, token)
    ]


def _kinds(channel: Channel) -> list[str]:
    allowed = set(channel.filter.terms.get("types") or ())
    if not allowed:
        mirrors = Mirror.objects.filter(channel=channel, deleted_at=None)
        allowed = set(mirrors.order_by().values_list("upstream__kind", flat=True).distinct())
    return [kind for kind in SNIPPETS_BY_TYPE if kind in (allowed or {"conda"})]


def _url(channel: Channel) -> str:
    return f"{settings.PUBLIC_URL}/api/repo/{channel.path}"


def _conda(channel: Channel, token: str) -> list[Snippet]:
    url = _url(channel)
    setup = client_setup(url, token)
    alias = with_token(f"{settings.PUBLIC_URL}/api/repo", token)
    # Without --override-channels conda also asks the channels of the user's own configuration.
    once = f"conda install --override-channels -c {channel.path} PACKAGE"
    return [
        Snippet("use-conda", "conda", "in .condarc", setup["conda"].rstrip()),
        Snippet(
            "use-alias",
            "conda, with channel_alias",
            "in .condarc, once for all channels of this server",
            f"channel_alias: {alias}\nchannels:\n  - {channel.path}",
        ),
        Snippet("use-alias-once", "conda, with the alias set", COMMAND_LINE, once),
        Snippet("use-once", "conda, one time", COMMAND_LINE, setup["conda once"]),
        Snippet("use-mamba", "mamba", COMMAND_LINE, setup["mamba"]),
        Snippet("use-pixi", "pixi", "in pixi.toml", setup["pixi"].rstrip()),
        _curl("use-curl", f"{with_token(url, token)}/noarch/repodata.json"),
    ]


def _python(channel: Channel, token: str) -> list[Snippet]:
    url_parts = urlsplit(f"{_url(channel)}/simple/")
    login = f"{token}:{TOKEN_PASSWORD}@" if token else ""
    index = urlunsplit(url_parts._replace(netloc=f"{login}{url_parts.netloc}"))
    # pip ignores an index over plain http unless its host is trusted.
    trusted = f"\ntrusted-host = {url_parts.hostname}" if url_parts.scheme == "http" else ""
    name = channel.path.replace("/", "-")
    return [
        Snippet("use-pip", "pip", "in pip.conf", f"[global]\nindex-url = {index}{trusted}"),
        Snippet(
            "use-pip-once",
            "pip, one time",
            COMMAND_LINE,
            f"pip install --index-url {index} PACKAGE",
        ),
        # `default = true`: otherwise uv asks the public index, too.
        Snippet(
            "use-uv",
            "uv",
            "in pyproject.toml",
            f'[[tool.uv.index]]\nname = "{name}"\nurl = "{index}"\ndefault = true',
        ),
        Snippet(
            "use-uv-once",
            "uv, one time",
            COMMAND_LINE,
            f"uv pip install --index-url {index} PACKAGE",
        ),
        _curl("use-simple-curl", index),
    ]


def _r(channel: Channel, token: str) -> list[Snippet]:
    setup = r_setup(_url(channel), token)
    return [
        Snippet("use-r", "R", "in .Rprofile", setup[".Rprofile"].rstrip()),
        Snippet("use-r-once", "R, one time", "at R's prompt", setup["R once"].rstrip()),
        Snippet("use-renv", "renv", "at R's prompt", setup["renv"].rstrip()),
        Snippet("use-pak", "pak", "at R's prompt", setup["pak"].rstrip()),
    ]


def _curl(id_: str, url: str) -> Snippet:
    return Snippet(id_, "curl", "to try the connection", f"curl --fail --head {url}")


SNIPPETS_BY_TYPE: dict[str, Callable[[Channel, str], list[Snippet]]] = {
    "conda": _conda,
    "python_simple": _python,
    "CRAN": _r,
}
