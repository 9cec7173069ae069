"""Every address of the server that Django answers."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mirrorserver.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", api.urls),
]
