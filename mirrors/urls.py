"""Addresses of the pages about mirrors.

`urlpatterns` stand below a channel's `mirrors/`; `everywhere` below the server's root.
"""

from __future__ import annotations

from django.urls import path

from mirrors.views import actions, bulk, call, details, edit, listing, look, runs

urlpatterns = [
    path("", listing.tab_page, name="channel-mirrors"),
    path("create/", edit.create, name="mirror-create"),
    path("bulk/", bulk.of_channel, name="mirrors-bulk"),
    path("test/", look.probed, name="mirror-test"),
    path("check/", look.check, name="mirror-check"),
    path("call/", call.call, name="mirror-call"),
    path("preview/", look.begin, name="preview-begin"),
    path("preview/<int:number>/", look.follow, name="preview"),
    path("preview/<int:number>/cancel/", look.cancel, name="preview-cancel"),
    path("<int:pk>/", details.details, name="mirror-details"),
    path("<int:pk>/row/", listing.row, name="mirror-row"),
    path("<int:pk>/edit/", edit.edit, name="mirror-edit"),
    path("<int:pk>/stop/", actions.stop, name="mirror-stop"),
    path("<int:pk>/mark-stopped/", actions.mark_stopped, name="mirror-mark-stopped"),
    path("<int:pk>/restart/", actions.restart, name="mirror-restart"),
    path("<int:pk>/release/", actions.release, name="mirror-release"),
    path("<int:pk>/delete/", actions.delete, name="mirror-delete"),
    path("<int:pk>/retry/", actions.retry, name="mirror-retry"),
    path("<int:pk>/runs/", runs.past, name="mirror-runs"),
    path("<int:pk>/runs/<int:number>/", details.details, name="mirror-details"),
    path("<int:pk>/runs/<int:number>/live/", details.live, name="mirror-live"),
    path("<int:pk>/runs/<int:number>/files/", runs.files, name="run-files"),
    path("<int:pk>/runs/<int:number>/files.<str:form>", runs.export, name="run-export"),
    path("<int:pk>/runs/<int:number>/log.txt", runs.log, name="run-log"),
]

everywhere = [
    path("mirrors/", listing.all_page, name="all-mirrors"),
    path("mirrors/bulk/", bulk.of_all, name="all-bulk"),
]
