"""Every address of the server that Django answers."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from mirrors import urls as mirrors
from mirrorserver import health, pages
from mirrorserver.api import api, bad_request

urlpatterns: list[URLPattern | URLResolver] = [
    path("", pages.dashboard, name="dashboard"),
    path("", include("accounts.urls")),
    path("", include("channels.urls")),
    path("", include(mirrors.everywhere)),
    path("api/", api.urls),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
]

handler400 = bad_request
handler403 = pages.forbidden
handler404 = pages.not_found
# Django has no such handler; django-allauth asks for it.
handler429 = pages.too_many_tries
handler500 = pages.server_error
