"""URLs of the pages about channels.

Django takes the first pattern that matches: `/channels/main/history/` is the tab of the channel,
so a subchannel named `history` has no page of its own.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from web.pages import channel_settings, channels, cves, history, packages, revisions

tabs: list[URLPattern | URLResolver] = [
    path("", channels.overview, name="channel"),
    path("packages/", packages.list_packages, name="channel-packages"),
    path("packages/why/", packages.explain, name="channel-why"),
    path("packages/<str:family>/<str:name>/", packages.package, name="channel-package"),
    path("mirrors/", include("web.pages.mirror_urls")),
    path("cves/", cves.channel_cves, name="channel-cves"),
    path("history/", history.events, name="channel-history"),
    path("history/export.<str:form>", history.export, name="channel-history-export"),
    path("history/<int:pk>/", history.event, name="channel-event"),
    path("revisions/", revisions.revisions, name="channel-revisions"),
    path("revisions/compare/", revisions.compare, name="channel-compare"),
    path("revisions/<int:a>..<int:b>/", revisions.changes, name="channel-difference"),
    path("revisions/<int:number>/pin/", revisions.pin, name="revision-pin"),
    path("revisions/<int:number>/roll-back/", revisions.roll_back, name="revision-roll-back"),
    path("settings/", channel_settings.settings, name="channel-settings"),
    path("settings/freeze/", channel_settings.freeze, name="channel-freeze"),
    path("settings/unfreeze/", channel_settings.unfreeze, name="channel-unfreeze"),
    path("settings/delete/", channel_settings.delete, name="channel-delete"),
    path("settings/mirrored-by/<int:pk>/", channel_settings.revoke_readers, name="revoke-readers"),
]

urlpatterns = [
    path("channels/", channels.channels, name="channels"),
    # Not below `channels/`, where it would be the page of a channel named `create`.
    path("create-channel/", channels.create, name="channel-create"),
    path("channels/<slug:c>/subchannels/", channels.subchannels, name="channel-subchannels"),
    path(
        "channels/<slug:c>/subchannels/create/",
        channels.create_subchannel,
        name="subchannel-create",
    ),
    path("channels/<slug:c>/", include(tabs)),
    path("channels/<slug:c>/<slug:s>/", include(tabs)),
]
