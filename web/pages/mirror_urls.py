"""URLs of the pages about mirrors.

`urlpatterns` stand below a channel's `mirrors/`; `everywhere` below the server's root.
"""

from __future__ import annotations

from django.urls import path

from web.pages import (
    mirror_actions,
    mirror_api_call,
    mirror_bulk,
    mirror_details,
    mirror_edit,
    mirror_list,
    mirror_preview,
    runs,
)

urlpatterns = [
    path("", mirror_list.channel_mirrors, name="channel-mirrors"),
    path("create/", mirror_edit.create, name="mirror-create"),
    path("bulk/", mirror_bulk.of_channel, name="mirrors-bulk"),
    path("test/", mirror_preview.connection_result, name="mirror-test"),
    path("check/", mirror_preview.check, name="mirror-check"),
    path("call/", mirror_api_call.call, name="mirror-call"),
    path("preview/", mirror_preview.start, name="preview-begin"),
    path("preview/<int:number>/", mirror_preview.progress, name="preview"),
    path("preview/<int:number>/cancel/", mirror_preview.cancel, name="preview-cancel"),
    path("<int:pk>/", mirror_details.details, name="mirror-details"),
    path("<int:pk>/row/", mirror_list.row, name="mirror-row"),
    path("<int:pk>/edit/", mirror_edit.edit, name="mirror-edit"),
    path("<int:pk>/stop/", mirror_actions.stop, name="mirror-stop"),
    path("<int:pk>/mark-stopped/", mirror_actions.mark_stopped, name="mirror-mark-stopped"),
    path("<int:pk>/restart/", mirror_actions.restart, name="mirror-restart"),
    path("<int:pk>/release/", mirror_actions.release, name="mirror-release"),
    path("<int:pk>/delete/", mirror_actions.delete, name="mirror-delete"),
    path("<int:pk>/retry/", mirror_actions.retry, name="mirror-retry"),
    path("<int:pk>/runs/", runs.past, name="mirror-runs"),
    # Under the same name: `reverse` takes the pattern that has these arguments.
    path("<int:pk>/runs/<int:number>/", mirror_details.details, name="mirror-details"),
    path("<int:pk>/runs/<int:number>/live/", mirror_details.live, name="mirror-live"),
    path("<int:pk>/runs/<int:number>/files/", runs.files, name="run-files"),
    path("<int:pk>/runs/<int:number>/files.<str:form>", runs.export, name="run-export"),
    path("<int:pk>/runs/<int:number>/log.txt", runs.log, name="run-log"),
]

everywhere = [
    path("mirrors/", mirror_list.all_mirrors, name="all-mirrors"),
    path("mirrors/bulk/", mirror_bulk.of_all, name="all-bulk"),
]
