"""Part of the mirror form: the same as a call of the API, to be pasted into a shell.

Nothing is sent or saved here.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from accounts.permissions import Level
from channels.models import Channel
from mirrors.models import Mirror
from web.pages.guards import signed_in
from web.pages.mirror_access import channel_for_mirrors
from web.pages.mirror_preview import form_problems, submitted_form
from web.pages.rendering import render
from web.pages.snippets import TOKEN

FIXED = ("mirror_mode", "mirror_type")


@signed_in
@require_POST
def call(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """What the form would send, as a line of curl."""
    channel = channel_for_mirrors(request, c, s, level=Level.WRITE)
    form = submitted_form(request, channel)
    if not form.is_valid():
        return render(request, "mirrors/call.html", {"problems": form_problems(form, form.errors)})
    text = curl(channel, form.body(), mirror=form.mirror)
    return render(request, "mirrors/call.html", {"text": text, "token": TOKEN})


def curl(channel: Channel, body: dict[str, Any], *, mirror: Mirror | None = None) -> str:
    """The command that creates a mirror, or changes `mirror`."""
    top, _, sub = channel.path.partition("/")
    address = f"{settings.PUBLIC_URL}/api/channels/{top}"
    address += f"/subchannels/{sub}/mirrors" if sub else "/mirrors"
    fields = {key: value for key, value in body.items() if not _open(value)}
    fields["filters"] = {key: value for key, value in body["filters"].items() if not _open(value)}
    if mirror:
        # What is absent keeps its value, so that an emptied proxy must be said.
        fields = {key: value for key, value in fields.items() if key not in FIXED}
        fields["proxy"] = body["proxy"]
        address += f"/{mirror.pk}"
    lines = (
        f"curl -X {'PUT' if mirror else 'POST'} {address}",
        f"-H 'X-Auth: {TOKEN}' -H 'Content-Type: application/json'",
        f"-d {shlex.quote(json.dumps(fields, indent=2, ensure_ascii=False))}",
    )
    return " \\\n  ".join(lines)


def _open(value: object) -> bool:
    """Whether a value means the same as an absent key; 0 is a score."""
    return value is None or value is False or value in ("", [])
