"""Every address of the server that Django answers."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from mirrorserver import health
from web.api.root import api, bad_request
from web.pages import dashboard, errors
from web.pages import mirror_urls as mirrors

urlpatterns: list[URLPattern | URLResolver] = [
    path("", dashboard.dashboard, name="dashboard"),
    path("", include("web.pages.account_urls")),
    path("", include("web.pages.channel_urls")),
    path("", include(mirrors.everywhere)),
    path("", include("web.pages.cve_urls")),
    path("api/", api.urls),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
]

handler400 = bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
# Django has no such handler; django-allauth asks for it.
handler429 = errors.too_many_attempts
handler500 = errors.server_error
