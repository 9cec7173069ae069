"""The errors of the REST API: their shape, and the two that every router raises."""

from __future__ import annotations

from ninja import Schema
from pydantic import ConfigDict

from accounts.errors import ApiError


class ErrorDetail(Schema):
    # Some errors say more beside the sentence, as `fields` and `run_id`.
    model_config = ConfigDict(extra="allow")
    code: str
    message: str


class ErrorResponse(Schema):
    """Every error. Bad input has `fields`: {name of the field: [sentences]}."""

    # `message` stands twice: the vendor's clients read the outer one.
    model_config = ConfigDict(extra="allow")
    error: ErrorDetail
    message: str


# All on every operation: authentication, throttle and middleware answer before it is reached.
ERRORS: dict[int, type[Schema]] = dict.fromkeys(
    (400, 401, 403, 404, 409, 412, 413, 422, 429, 503), ErrorResponse
)
"""What any operation may answer beside its success."""


def not_found(noun: str) -> ApiError:
    """404 for what does not exist, or what the caller may not know of: the two look the same."""
    return ApiError(404, f"This {noun} does not exist, or you don't have access to it.")


def invalid(field: str, message: str) -> ApiError:
    """422 with the field named."""
    return ApiError(422, f"{field}: {message}", fields={field: [message]})
