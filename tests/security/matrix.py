"""Who may do what, as a table: routes by what they need, callers by what they have.

The rule: the table says what is meant, in its own words; it asks no function of the product. A
route that stands in no table fails `test_matrix`, so nobody adds one without saying who may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

LEVELS = ("none", "read", "write", "manage")
CHANNEL = "/channels/{channel}"
SUB = "/subchannels/{sub}"
MIRROR = CHANNEL + "/mirrors/{mirror}"
RUN = MIRROR + "/runs/{number}"
PACKAGE = CHANNEL + "/artifacts/{family}/{name}"


@dataclass(frozen=True)
class Need:
    """What a route about a channel needs: a level on it, levels of the role's attributes.

    `view`: a token with the scope `channel:view` alone is enough.
    """

    level: str
    mirror: str = "none"
    view: bool = False
    cve: str = "none"


READ, VIEW = Need("read"), Need("read", view=True)
WRITE, MANAGE = Need("write"), Need("manage")
READ_CVES, CHANGE_CVES = Need("read", cve="read"), Need("read", cve="write")
READ_MIRRORS, CHANGE_MIRRORS = Need("read", "read"), Need("write", "write")

API = {
    ("GET", CHANNEL): VIEW,
    ("PUT", CHANNEL): WRITE,
    # It has mirrors, which go with it.
    ("DELETE", CHANNEL): Need("manage", "write"),
    ("GET", CHANNEL + "/subchannels"): VIEW,
    ("POST", CHANNEL + "/subchannels"): WRITE,
    ("GET", CHANNEL + "/artifacts"): VIEW,
    ("GET", PACKAGE): VIEW,
    ("GET", PACKAGE + "/files"): VIEW,
    ("GET", PACKAGE + "/cves"): READ_CVES,
    ("GET", CHANNEL + "/cves"): READ_CVES,
    ("GET", CHANNEL + "/vex"): READ_CVES,
    ("GET", CHANNEL + "/revisions"): VIEW,
    ("GET", CHANNEL + "/revisions/{span}"): VIEW,
    ("POST", CHANNEL + "/revisions/{number}/rollback"): WRITE,
    ("POST", CHANNEL + "/revisions/{number}/pin"): WRITE,
    ("GET", CHANNEL + "/history"): READ,
    ("GET", CHANNEL + "/why"): VIEW,
    ("GET", CHANNEL + "/mirrored-by"): Need("manage", view=True),
    ("DELETE", CHANNEL + "/mirrored-by/{link}"): MANAGE,
    ("GET", CHANNEL + "/mirrors"): READ_MIRRORS,
    ("POST", CHANNEL + "/mirrors"): CHANGE_MIRRORS,
    ("GET", MIRROR): READ_MIRRORS,
    ("PUT", MIRROR): CHANGE_MIRRORS,
    ("DELETE", MIRROR): CHANGE_MIRRORS,
    ("POST", MIRROR + "/run"): CHANGE_MIRRORS,
    ("POST", MIRROR + "/stop_mirror_sync"): CHANGE_MIRRORS,
    ("POST", MIRROR + "/restart"): CHANGE_MIRRORS,
    ("POST", MIRROR + "/release"): CHANGE_MIRRORS,
    ("POST", MIRROR + "/release_files"): CHANGE_MIRRORS,
    ("GET", MIRROR + "/held_files"): READ_MIRRORS,
    ("GET", MIRROR + "/runs"): READ_MIRRORS,
    ("GET", RUN): READ_MIRRORS,
    ("GET", RUN + "/files"): READ_MIRRORS,
    ("GET", RUN + "/log"): READ_MIRRORS,
    ("GET", MIRROR + "/log"): READ_MIRRORS,
}
IN_BODY = {
    ("POST", "/mirrors/preview"): CHANGE_MIRRORS,
    ("POST", "/namespace-channels"): WRITE,
}
"""The channel stands in the body."""
BY_ROLE = {
    ("POST", "/channels"): ("channel", "write", False),
    ("GET", "/mirrors"): ("mirror", "manage", False),
    ("POST", "/mirrors/test"): ("mirror", "write", False),
    ("GET", "/audit-log"): ("roles", "manage", False),
}
"""Attribute, level, and whether a token of the scope `channel:view` may."""
CVES = {
    ("GET", "/cves"): "read",
    ("GET", "/cves/{id}"): "read",
    ("GET", "/cves/{id}/files"): "read",
    ("GET", "/cves/{id}/curations"): "read",
    ("POST", "/cves/{id}/curations"): "write",
    ("DELETE", "/cves/{id}/curations/{number}"): "write",
    ("GET", "/cves/curations"): "read",
    ("POST", "/cves/curations"): "write",
    ("GET", "/advisories/status"): "read",
    ("GET", "/advisories/bundle"): "write",
    ("POST", "/advisories/import"): "write",
    ("POST", "/advisories/refresh"): "write",
    ("GET", "/advisories/mappings"): "read",
    ("PUT", "/advisories/mappings/{conda_name}"): "write",
    ("DELETE", "/advisories/mappings/{conda_name}"): "write",
}
"""The level of the attribute `cve`; no token that is limited to some channels may write."""
THEIR_OWN = {
    ("PUT", "/account/tokens/{token_id}"),
    ("DELETE", "/account/tokens/{token_id}"),
    ("GET", "/mirrors/preview/{preview_id}"),
    ("DELETE", "/mirrors/preview/{preview_id}"),
}
"""Only for the one who made it, whatever the role."""
SIGNED_IN = {
    ("GET", "/account"),
    ("GET", "/account/me"),
    ("GET", "/account/scopes"),
    ("GET", "/system/scopes"),
    ("GET", "/account/token-info"),
    ("GET", "/account/tokens"),
    ("POST", "/account/tokens"),
    ("GET", "/account/channels"),
    ("GET", "/channels"),
    ("GET", "/artifacts"),
}
"""For everybody who is signed in; they hold what the caller may see anyway."""
EVERYBODY = {("GET", "/system"), ("POST", "/auth/login"), ("POST", "/auth/refresh")}
NO_OPERATION = {"openapi-json", "openapi-view", "unsupported", "api-root"}


@dataclass(frozen=True)
class Page:
    """What the page of a channel needs to be read, and what to be sent; None = cannot be."""

    get: Need | None
    post: Need | None


def _changes(need: Need) -> Page:
    return Page(need, need)


PAGES = {
    "channel": Page(READ, READ),
    "channel-packages": Page(READ, READ),
    "channel-why": Page(READ, READ),
    "channel-package": Page(READ, READ),
    "channel-cves": Page(READ_CVES, CHANGE_CVES),
    "channel-history": Page(READ, READ),
    "channel-history-export": Page(READ, READ),
    "channel-event": Page(READ, READ),
    "channel-revisions": Page(READ, READ),
    "channel-compare": Page(READ, READ),
    "channel-difference": Page(READ, READ),
    "channel-subchannels": Page(READ, READ),
    "channel-settings": Page(READ, WRITE),
    "channel-mirrors": Page(READ_MIRRORS, READ_MIRRORS),
    "mirror-details": Page(READ_MIRRORS, READ_MIRRORS),
    "mirror-runs": Page(READ_MIRRORS, READ_MIRRORS),
    "mirror-live": Page(READ_MIRRORS, READ_MIRRORS),
    "run-files": Page(READ_MIRRORS, READ_MIRRORS),
    "run-export": Page(READ_MIRRORS, READ_MIRRORS),
    "run-log": Page(READ_MIRRORS, READ_MIRRORS),
    "subchannel-create": _changes(WRITE),
    "revision-pin": Page(None, WRITE),
    "revision-roll-back": _changes(WRITE),
    "channel-freeze": _changes(WRITE),
    "channel-unfreeze": _changes(WRITE),
    "channel-delete": _changes(Need("manage", "write")),
    "revoke-readers": _changes(MANAGE),
    "mirror-create": _changes(CHANGE_MIRRORS),
    "mirrors-bulk": _changes(CHANGE_MIRRORS),
    "mirror-edit": _changes(CHANGE_MIRRORS),
    "mirror-stop": _changes(CHANGE_MIRRORS),
    "mirror-mark-stopped": _changes(CHANGE_MIRRORS),
    "mirror-restart": _changes(CHANGE_MIRRORS),
    "mirror-release": _changes(CHANGE_MIRRORS),
    "mirror-delete": _changes(CHANGE_MIRRORS),
    "preview": _changes(CHANGE_MIRRORS),
    "mirror-test": Page(None, CHANGE_MIRRORS),
    "mirror-check": Page(None, CHANGE_MIRRORS),
    "mirror-call": Page(None, CHANGE_MIRRORS),
    "preview-begin": Page(None, CHANGE_MIRRORS),
    "preview-cancel": Page(None, CHANGE_MIRRORS),
    "mirror-retry": Page(None, CHANGE_MIRRORS),
}
SILENT = {"mirror-row"}
"""Answers 200 with nothing where there is nothing for the caller: a list removes the line."""
PAGES_BY_ROLE = {
    "channel-create": ("channel", "write"),
    "all-mirrors": ("mirror", "manage"),
    "all-bulk": ("mirror", "manage"),
    "audit-log": ("roles", "manage"),
    "audit-export": ("roles", "manage"),
    "users": ("roles", "manage"),
    "user-create": ("roles", "manage"),
    "user-edit": ("roles", "manage"),
    "user-switch": ("roles", "manage"),
    "user-password": ("roles", "manage"),
    "roles": ("roles", "manage"),
    "role-create": ("roles", "manage"),
    "role-edit": ("roles", "manage"),
    "role-delete": ("roles", "manage"),
}
PAGES_ABOUT_CVES: dict[str, tuple[str, str]] = {
    "cves": ("read", "read"),
    "cve": ("read", "write"),
    "cve-downloads": ("read", "read"),
    "cve-withdraw": ("write", "write"),
    "cve-data": ("read", "read"),
    "cve-import": ("write", "write"),
    "cve-refresh": ("write", "write"),
    "cve-bundle": ("write", "write"),
    "cve-map": ("write", "write"),
    "cve-unmap": ("write", "write"),
}
"""The level of the attribute `cve` that reading and sending take."""
PAGES_SIGNED_IN = {
    *("dashboard", "profile", "theme", "password", "channels", "token-revoke", "sessions"),
    *("sessions-end", "session-end", "api-session-end", "account_change_password"),
}
PAGES_OF_EVERYBODY = {
    *("sign-in", "sign-out", "account_login", "account_logout", "health-live", "health-ready"),
}

ROLES: dict[str, dict[str, str]] = {
    "blind": {},
    "reader": {"channel": "read", "mirror": "read", "cve": "read"},
    "author": {"channel": "write", "mirror": "write", "cve": "write"},
    "mirrors": {"channel": "write", "mirror": "manage"},
    "owner": {"channel": "write", "mirror": "write"},
    "admin": dict.fromkeys(("channel", "mirror", "artifact", "cve", "roles"), "manage"),
}
"""The people by what they are called here; `owner` owns every channel."""
PRIVACIES = {"open": "public", "shared": "authenticated", "hushed": "private"}


@dataclass(frozen=True)
class Who:
    """Somebody with a credential: what they may do, in this table's own words."""

    role: str
    """"" for whoever has no valid credential."""
    kind: str
    headers: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def valid(self) -> bool:
        return bool(self.role)

    def attribute(self, what: str) -> str:
        return ROLES[self.role].get(what, "none")

    def level(self, channel: str) -> str:
        """What the user may do with the channel, whatever the token is for."""
        if self.role in ("owner", "admin"):
            return "manage"
        if PRIVACIES[channel] == "private":
            return "none"
        return "write" if at_least(self.attribute("channel"), "write") else "read"

    def knows(self, channel: str) -> bool:
        """Whether they may know of the channel with this credential."""
        if self.kind == "limited" and channel == "hushed":
            return False
        return self.level(channel) != "none"

    def may(self, need: Need, channel: str, *, sub: bool) -> bool:
        """Whether they may do what needs `need` on a channel that they know of."""
        if self.kind == "scoped" and not (need.view and not sub):
            return False
        if not at_least(self.level(channel), need.level):
            return False
        if not at_least(self.attribute("mirror"), need.mirror):
            return False
        if not at_least(self.attribute("cve"), need.cve):
            return False
        return self.kind != "limited" or need.level == "read"

    def may_cves(self, level: str) -> bool:
        """Whether they may read or decide what is said of advisories."""
        if not self.valid or self.kind == "scoped":
            return False
        if self.kind == "limited" and level == "write":
            return False
        return at_least(self.attribute("cve"), level)

    def status(self, need: Need, channel: str, *, sub: bool, role_first: bool = True) -> int | None:
        """The refusal of the API; None = the caller may.

        `role_first`: whoever may see no advisory at all is refused before the channel is looked up.
        """
        if not self.valid:
            return 401
        if role_first and need.cve != "none" and not self.may_cves(need.cve):
            return 403
        if not self.knows(channel):
            return 404
        return None if self.may(need, channel, sub=sub) else 403


def at_least(level: str, needed: str) -> bool:
    return LEVELS.index(level) >= LEVELS.index(needed)


def fits(status: int, expected: int | None) -> bool:
    """Whether an answer is the refusal that is meant, or none where none is meant."""
    return status == expected if expected else status not in (401, 403, 404) and status < 500


def django_table() -> Iterator[tuple[str, str]]:
    """Every route that Django knows: its pattern and its name."""
    yield from _walk(get_resolver().url_patterns, "")


def _walk(patterns: list[Any], before: str) -> Iterator[tuple[str, str]]:
    for one in patterns:
        place = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _walk(one.url_patterns, place)
        elif isinstance(one, URLPattern):
            yield place, str(one.name)
