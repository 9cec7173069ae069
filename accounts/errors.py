"""The REST API's errors: a status, a code for programs, a sentence for people."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer that is not a success; `message` is a sentence for the person who reads it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        retry_after: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.message = message
        self.code = code or CODES.get(status, "error")
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The one shape of every error; `extra` stands beside the message."""
        error = {"code": self.code, "message": self.message, **self.extra}
        return {"error": error, "message": self.message, **self.extra}


CODES = {
    400: "bad_request",
    401: "auth_required",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    422: "invalid",
    429: "too_many_requests",
    502: "upstream_error",
    503: "unavailable",
    507: "no_space",
}
