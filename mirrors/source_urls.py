"""Where a mirror reads from: the address, its login, its proxy; checked, sealed, shown.

The rule: logins and proxy passwords leave the address at the door, are kept sealed, and come
out as `***` only. A login stays with its host: another host never gets it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, replace

from django.conf import settings
from django.core.exceptions import ValidationError

from accounts.caller import Caller
from accounts.models import User
from channels import readership
from channels.file_sources import egress_policy
from channels.models import Channel
from channels.secrets import seal, unseal
from ecosystems.upstream.credential import Credential, split_credentials
from ecosystems.upstream.errors import UpstreamError
from ecosystems.upstream.urls import origin, split_url
from mirrors.models import Mirror, Upstream

LONGEST = 2000
REDACTED = "***"
# `cran` and `simple` as the second part are the folders of R and Python clients, no subchannel.
_OWN_CHANNEL = re.compile(
    r"/api/repo/(?P<channel>[a-z][a-z0-9_-]*(?:/(?!(?:cran|simple)(?:/|\Z))[a-z][a-z0-9_-]*)?)"
    r"(?:/cran|/simple)?/*"
)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^/:@\[\]]+)(?::(?P<port>[0-9]{1,5}))?/?")


@dataclass(frozen=True, slots=True)
class Source:
    """A checked source. `channel` is set where it is a channel of this server."""

    url: str
    credential: Credential | None
    channel: Channel | None = None
    credential_stored: bool = False
    """The login is the stored one, not one that stands in the text."""


def parse_source(
    text: str,
    *,
    into: Channel | None,
    owner: User | None,
    actor: Caller | None,
    stored: Upstream | None = None,
) -> Source:
    """The source that `text` names; ValidationError where it cannot be one.

    `into` is the channel of the mirror, None where nothing is to be saved. `actor` is who asks,
    `owner` whose mirror it is. `stored` is what the mirror reads now: where `text` says no login,
    or says it as it is shown, the stored one stays, as long as scheme, host and port are the
    same. The proxy has its part, too: see `with_proxy`.
    """
    try:
        url, credential, without_login = _parts(text.strip())
    except ValueError as error:
        raise _refused(str(error)) from error
    # Before the policy, which may forbid the address that this server itself has.
    if origin(url) == origin(settings.PUBLIC_URL):
        return Source(url, None, _own_channel(url, into=into, owner=owner, actor=actor))
    try:
        egress_policy().check(url)
    except UpstreamError as error:
        raise _refused(str(error)) from error
    if without_login and stored is not None:
        credential = credential_of(stored)
        # Whoever may edit the mirror could else have the login sent to a host of theirs.
        if credential and not credential.belongs_to(url):
            credential = None
    return Source(url, credential, credential_stored=without_login)


def with_proxy(source: Source, proxy: str, stored: Upstream | None) -> Source:
    """The source as it may be asked through `proxy`.

    A stored login is for the way it was stored with: another proxy would read it. One that was
    typed now goes whichever way was typed with it.
    """
    if stored is None or source.credential is None or proxy == unseal(stored.proxy):
        return source
    return replace(source, credential=None) if source.credential_stored else source


def parse_proxy(text: str, stored: Upstream | None = None) -> str:
    """The proxy that `text` names, "" for none; ValidationError where it cannot be one."""
    text = text.strip()
    # The form shows the password as ***, and sends that back where nobody has edited it.
    if stored is not None and text == redacted_proxy(stored):
        return unseal(stored.proxy)
    scheme, _, authority = text.partition("://")
    login, at, address = authority.rpartition("@")
    match = _HOST_AND_PORT.fullmatch(address)
    fits = scheme == "http" and match is not None and int(match["port"] or 80) in range(1, 65536)
    # Stars that do not stand for the stored login would be saved as a password.
    if text and (not fits or REDACTED in login or (at and not login) or len(text) > LONGEST):
        raise ValidationError(
            {"proxy": "A proxy is written http://host:port or http://user:password@host:port."}
        )
    if text:
        # The pattern above takes nearly any host; this refuses what is none.
        try:
            origin(f"http://{address}")
        except ValueError as error:
            raise ValidationError({"proxy": str(error)}) from error
    return text


def upstream_for(kind: str, source: Source, proxy: str, *, save: bool = True) -> Upstream:
    """The row for this source; mirrors that read the same with the same login share it."""
    login = source.credential.dump() if source.credential else ""
    channel = str(source.channel.pk) if source.channel else ""
    identity = "\0".join((kind, source.url, login, proxy, channel))
    # Keyed: a plain hash in a copy of the database would let logins be guessed.
    key = hmac.new(settings.SECRET_KEY.encode(), identity.encode(), hashlib.sha256).hexdigest()
    new = Upstream(
        kind=kind,
        url=source.url,
        credential=seal(login),
        proxy=seal(proxy),
        channel=source.channel,
        key=key,
    )
    upstream = Upstream.objects.filter(key=key).first() if save else new
    if upstream is None:
        # Two forms at once: the second finds the row of the first.
        Upstream.objects.bulk_create([new], ignore_conflicts=True)
        upstream = Upstream.objects.get(key=key)
    return upstream


def credential_of(upstream: Upstream) -> Credential | None:
    """The login of the upstream, None where it has none."""
    text = unseal(upstream.credential)
    return Credential.load(text) if text else None


def redacted_url(upstream: Upstream) -> str:
    """The address as it may be shown: with `***` where a login stands."""
    if not upstream.credential:
        return upstream.url
    credential = credential_of(upstream)
    if credential is None:
        return upstream.url
    if credential.kind == "token-path":
        return credential.address(upstream.url).replace(f"/t/{credential.secret}", f"/t/{REDACTED}")
    return upstream.url.replace("://", f"://{REDACTED}@", 1)


def redacted_proxy(upstream: Upstream) -> str | None:
    """The proxy as it may be shown, None where there is none."""
    if not upstream.proxy:
        return None
    scheme, _, authority = unseal(upstream.proxy).partition("://")
    login, _, address = authority.rpartition("@")
    return f"{scheme}://{REDACTED}@{address}" if login else f"{scheme}://{address}"


def _parts(text: str) -> tuple[str, Credential | None, bool]:
    """Address without login, the login, and whether the text says nothing about a login."""
    if len(text) > LONGEST:
        raise ValueError(f"An address has at most {LONGEST:,} characters.")
    parts = split_url(text)
    if not parts.scheme or not parts.host:
        raise ValueError(
            "The source is an address with scheme and host, like https://host/channel."
        )
    # The paths of index files are appended to it, so nothing may come after the path.
    if parts.query or parts.fragment:
        raise ValueError("The address of a source has no ? and no # part.")
    url, credential = split_credentials(text)
    url = url.rstrip("/")
    if credential is None:
        return url, None, True
    if REDACTED in (credential.user, credential.secret):
        return url, None, True
    # `https://@host/` says that there is no login, so that a stored one can be taken away.
    if credential.kind == "basic" and not credential.user:
        return url, None, False
    return url, credential, False


def _own_channel(
    url: str, *, into: Channel | None, owner: User | None, actor: Caller | None
) -> Channel:
    match = _OWN_CHANNEL.fullmatch(split_url(url).path or "/")
    if match is None:
        raise _refused(
            f"A channel of this server is written {settings.PUBLIC_URL}/api/repo/<channel>."
        )
    parent, _, name = match["channel"].rpartition("/")
    rows = Channel.objects.filter(deleted_at=None, name=name).select_related("parent")
    rows = rows.filter(parent__name=parent) if parent else rows.filter(parent=None)
    channel = rows.first()
    # One answer for both: names of private channels are not given away.
    if channel is None or not readership.may_mirror(channel, owner=owner, actor=actor):
        raise _refused(f"There is no channel {match['channel']} here that the mirror may read.")
    path = cycle(into, channel) if into else []
    if into and path:
        circle = " from ".join([into.path, *path])
        raise _refused(f"This would be a circle: {circle}.")
    return channel


def _refused(message: str) -> ValidationError:
    return ValidationError({"source_root": message})


def cycle(channel: Channel, source: Channel) -> list[str]:
    """The path from `source` to `channel` through mirrors, as channel paths; [] if none."""
    # Each channel once, though many ways may lead to it.
    paths = [[source]]
    visited = {source.pk}
    while paths:
        path = paths.pop()
        if path[-1].pk == channel.pk:
            return [step.path for step in path]
        mirrors = Mirror.objects.filter(channel=path[-1], deleted_at=None)
        for mirror in mirrors.exclude(upstream__channel=None).select_related("upstream__channel"):
            following = mirror.upstream.channel
            if following is not None and following.pk not in visited:
                visited.add(following.pk)
                paths.append([*path, following])
    return []
