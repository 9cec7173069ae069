"""What to paste into a client to use a channel."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from channels import access
from channels.models import Channel, Package
from ecosystems.conda.channel import client_setup, with_token
from ecosystems.cran import layout

TOKEN = "YOUR-TOKEN"
"""Stands where people put their token; the page says where to make one."""


@dataclass(frozen=True)
class Snippet:
    id: str
    client: str
    hint: str
    text: str


def snippets(channel: Channel) -> list[Snippet]:
    """Ready to paste, with the server's public address; a token's place where one is needed."""
    token = "" if access.privacy(channel) == Channel.Privacy.PUBLIC else TOKEN
    url = f"{settings.PUBLIC_URL}/api/repo/{channel.path}"
    setup = client_setup(url, token)
    alias = with_token(f"{settings.PUBLIC_URL}/api/repo", token)
    once = f"conda install --override-channels -c {channel.path} PACKAGE"
    return [
        Snippet("use-conda", "conda", "in .condarc", setup["conda"].rstrip()),
        Snippet(
            "use-alias",
            "conda, with channel_alias",
            "in .condarc, once for all channels of this server",
            f"channel_alias: {alias}\nchannels:\n  - {channel.path}",
        ),
        Snippet("use-alias-once", "conda, with the alias set", "on the command line", once),
        Snippet("use-once", "conda, one time", "on the command line", setup["conda once"]),
        Snippet("use-mamba", "mamba", "on the command line", setup["mamba"]),
        Snippet("use-pixi", "pixi", "in pixi.toml", setup["pixi"].rstrip()),
        Snippet(
            "use-curl",
            "curl",
            "to try the connection",
            f"curl --fail --head {with_token(url, token)}/noarch/repodata.json",
        ),
        *(_of_r(url, token) if "cran" in _families(channel) else []),
    ]


def _of_r(url: str, token: str) -> list[Snippet]:
    setup = layout.client_setup(url, token)
    return [
        Snippet("use-r", "R", "in .Rprofile", setup[".Rprofile"].rstrip()),
        Snippet("use-r-once", "R, one time", "in R", setup["R once"].rstrip()),
        Snippet("use-renv", "renv", "in R", setup["renv"].rstrip()),
        Snippet("use-pak", "pak", "in R", setup["pak"].rstrip()),
    ]


def _families(channel: Channel) -> set[str]:
    """The artifact families of what the channel lists."""
    rows = Package.objects.at(channel.current).filter(channel=channel, shard__isnull=False)
    return set(rows.order_by().values_list("family", flat=True).distinct())
