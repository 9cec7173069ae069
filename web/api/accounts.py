"""REST: signing in, the account, its tokens."""

from __future__ import annotations

import re
from datetime import date
from typing import Literal, TypedDict

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema, Status

from accounts import audit, jwt, passwords, tokens
from accounts.access import level
from accounts.caller import caller_of
from accounts.errors import ApiError
from accounts.models import SecurityEventType, Token, User
from accounts.permissions import Attribute, Level, Scope
from history.models import EventType
from web.api.errors import ERRORS, invalid, not_found
from web.api.pagination import Paging, item_list, paginate
from web.api.schemas import ItemList, JsonObject, ListAnswer, RequestBody, timestamp
from web.token_events import record_token_event

router = Router(tags=["account"])

CHANNEL_PATH = re.compile(r"[a-z][a-z0-9_-]{0,63}(/[a-z][a-z0-9_-]{0,63})?")


class Login(RequestBody):
    username: str = Field(max_length=200)
    password: str = Field(max_length=1000)


class LoginResponse(Schema):
    token: str
    refresh_token: str


class Refresh(RequestBody):
    refresh_token: str = Field(max_length=5000)


class Resource(RequestBody):
    """A channel (or `channel/subchannel`; a channel covers what is in it) and a level."""

    channel: str
    level: Literal[Level.READ, Level.WRITE, Level.MANAGE] = Level.READ


class NewToken(RequestBody):
    name: str = Field(min_length=1, max_length=200)
    expires_at: date | None = None
    scopes: list[str] | None = None
    resources: list[Resource] | None = None


class Rotation(RequestBody):
    expires_at: date | None = None


class TokenSecret(Schema):
    token: str
    id: str


class AccountItem(TypedDict):
    """Who somebody is; in the shape of the vendor's clients, which know roles by two names."""

    user_id: str
    username: str
    email: str
    roles: list[str]
    dbroles: list[str]
    default_channel_name: None
    permissions: dict[Attribute, Level]


class TokenMetadata(TypedDict):
    prefix: str
    last_used_at: str | None


class TokenItem(TypedDict):
    """A token without its secret."""

    id: int
    name: str
    metadata: TokenMetadata
    type: Literal["resource", "scope"]
    created_at: str | None
    expires_at: str | None
    scopes: list[str]
    resources: list[JsonObject]


class NoToken(TypedDict):
    expires_at: None


@router.post("/auth/login", auth=None, response={200: LoginResponse, **ERRORS})
def login(request: HttpRequest, body: Login) -> dict[str, str]:
    """A bearer token for a user name and a password."""
    user = passwords.sign_in(request, body.username, body.password)
    token, renewal = jwt.issue(user, request)
    audit.record(
        SecurityEventType.SIGNED_IN, request=request, actor=user, subject=user, detail="by the API"
    )
    return {"token": token, "refresh_token": renewal}


@router.post("/auth/refresh", auth=None, response={200: LoginResponse, **ERRORS})
def refresh(request: HttpRequest, body: Refresh) -> dict[str, str]:
    """New tokens for a refresh token, which can be used once."""
    try:
        token, renewal = jwt.refresh(body.refresh_token, request)
    except jwt.InvalidRefreshToken as error:
        raise ApiError(
            401, "This refresh token is used, expired or revoked. Sign in again."
        ) from error
    return {"token": token, "refresh_token": renewal}


@router.get("/account", response={200: JsonObject, **ERRORS})
def account(request: HttpRequest) -> AccountItem:
    """Who you are and what your role lets you do."""
    return _account(caller_of(request).user)


@router.get("/account/me", response={200: JsonObject, **ERRORS})
def me(request: HttpRequest) -> AccountItem:
    """The older form of /account."""
    return _account(caller_of(request).user)


@router.get(
    "/system/scopes",
    response={200: dict[str, list[str]], **ERRORS},
    operation_id="system_scopes",
)
@router.get("/account/scopes", response={200: dict[str, list[str]], **ERRORS})
def scopes(request: HttpRequest) -> dict[str, list[str]]:
    """The scopes a token may be limited to."""
    return {"scopes": list(Scope)}


@router.get("/account/token-info", response={200: JsonObject, **ERRORS})
def token_info(request: HttpRequest) -> TokenItem | NoToken:
    """The token this request was made with; without an opaque token, `expires_at` is null."""
    token = caller_of(request).token
    return _token(token) if token else {"expires_at": None}


@router.get("/account/tokens", response={200: ItemList, **ERRORS})
def list_tokens(request: HttpRequest, paging: Query[Paging]) -> ListAnswer:
    """Your tokens; their secrets are not kept. A limited token sees itself only."""
    caller = caller_of(request)
    own_tokens = Token.objects.filter(user=caller.user).order_by("id")
    if caller.token and caller.limited:
        own_tokens = own_tokens.filter(pk=caller.token.pk)
    return item_list([_token(token) for token in paginate(own_tokens, paging)], own_tokens.count())


@router.post("/account/tokens", response={200: TokenSecret, **ERRORS})
def create_token(request: HttpRequest, body: NewToken) -> dict[str, str]:
    """Make a token; the answer has its secret, which nobody can read again."""
    caller = caller_of(request)
    # Else a limited token could make one without limits.
    caller.require_unlimited()
    if body.scopes and body.resources:
        raise invalid("resources", "A token has scopes or resources, not both.")
    unknown = sorted(set(body.scopes or ()) - set(Scope))
    if unknown:
        raise invalid("scopes", f"Unknown scope {unknown[0]!r}; see /account/scopes.")
    for resource in body.resources or ():
        # By its form only: an answer must not say which channels exist.
        if not CHANNEL_PATH.fullmatch(resource.channel):
            raise invalid("resources", f"{resource.channel!r} is not a channel name.")
    expires = _expiry(body.expires_at)
    with transaction.atomic():
        token, secret = tokens.issue(
            caller.user,
            body.name,
            expires=expires,
            scopes=body.scopes,
            resources=[resource.model_dump() for resource in body.resources or ()],
        )
        record_token_event(EventType.TOKEN_CREATED, token, request)
    return {"token": secret, "id": str(token.pk)}


@router.put("/account/tokens/{token_id}", response={200: TokenSecret, **ERRORS})
def rotate_token(
    request: HttpRequest, token_id: str, body: Rotation | None = None
) -> dict[str, str]:
    """A new secret under the same id; the old one is void at once."""
    caller = caller_of(request)
    expires = _expiry(body.expires_at if body else None)
    with transaction.atomic():
        token = _own(caller.user, token_id)
        if caller.token != token or expires:
            # A limited token may replace its own secret, and nothing of what limits it.
            caller.require_unlimited()
        # Read before the rotation changes both.
        before = {"expires": str(token.expires), "prefix": token.prefix}
        secret = tokens.rotate(token)
        if expires or (token.expires and token.expires < tokens.today()):
            token.expires = expires or tokens.usual_expiry()
            token.save(update_fields=["expires"])
        record_token_event(EventType.TOKEN_CREATED, token, request, rotated_from=before)
    return {"token": secret, "id": str(token.pk)}


@router.delete("/account/tokens/{token_id}", response={204: None, **ERRORS})
def delete_token(request: HttpRequest, token_id: str) -> Status[None]:
    """Revoke one of your tokens."""
    caller = caller_of(request)
    with transaction.atomic():
        token = _own(caller.user, token_id)
        if caller.token != token:
            caller.require_unlimited()
        # Before the row goes: the event has the token's name and prefix.
        record_token_event(EventType.TOKEN_REVOKED, token, request)
        token.delete()
    return Status(204, None)


def _own(user: User, token_id: str) -> Token:
    own_tokens = Token.objects.filter(user=user)
    # More than 18 digits may not fit into 64 bits, which databases refuse.
    if not (token_id.isascii() and token_id.isdecimal() and len(token_id) < 19):
        raise not_found("token")
    # Locked until it is rotated or deleted: two requests at once take turns.
    token = own_tokens.select_for_update().filter(pk=int(token_id)).first()
    if token is None:
        raise not_found("token")
    return token


def _account(user: User) -> AccountItem:
    roles = jwt.roles(user)
    return {
        "user_id": str(user.pk),
        "username": user.get_username(),
        "email": user.email,
        "roles": roles,
        "dbroles": roles,
        "default_channel_name": None,
        "permissions": {attribute: level(user, attribute) for attribute in Attribute},
    }


def _token(token: Token) -> TokenItem:
    return {
        "id": token.pk,
        "name": token.name,
        "metadata": {"prefix": token.prefix, "last_used_at": timestamp(token.last_used_at)},
        "type": "resource" if token.resources else "scope",
        "created_at": timestamp(token.created_at),
        "expires_at": token.expires.isoformat() if token.expires else None,
        "scopes": token.scopes,
        "resources": token.resources,
    }


def _expiry(day: date | None) -> date | None:
    try:
        if day:
            tokens.check_expiry(day)
    except ValidationError as error:
        raise invalid("expires_at", error.messages[0]) from error
    return day
