"""The REST API: one NinjaAPI that mounts each app's router."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from ninja import NinjaAPI

api = NinjaAPI(title="Mirror server", version=settings.VERSION)


@api.get("/system", auth=None, tags=["system"])
def system(request: HttpRequest) -> dict[str, str]:
    """Which service this is, and its version."""
    return {"service_name": "repo", "version": settings.VERSION}
