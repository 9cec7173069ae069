"""Part of the mirror form: the equivalent API call, to be pasted into a shell.

Nothing is sent or saved here.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from accounts.permissions import Level
from channels.models import Channel
from mirrors.models import Mirror
from web.pages.guards import signed_in
from web.pages.mirror_access import channel_for_mirrors
from web.pages.mirror_forms import MirrorBody
from web.pages.mirror_preview import form_problems, submitted_form
from web.pages.rendering import render
from web.pages.snippets import TOKEN

# The API refuses them in a PUT: a mirror keeps its mode and type.
IMMUTABLE_FIELDS = ("mirror_mode", "mirror_type")


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


def curl(channel: Channel, body: MirrorBody, *, mirror: Mirror | None = None) -> str:
    """The command that creates a mirror, or changes `mirror`."""
    top, _, sub = channel.path.partition("/")
    url = f"{settings.PUBLIC_URL}/api/channels/{top}"
    url += f"/subchannels/{sub}/mirrors" if sub else "/mirrors"
    # Only what differs from the API's defaults: a call that people can read.
    fields = _without_defaults(body)
    fields["filters"] = _without_defaults(body["filters"])
    if mirror:
        # An absent key keeps its value, so a proxy that was emptied must be in the body.
        fields = {key: value for key, value in fields.items() if key not in IMMUTABLE_FIELDS}
        fields["proxy"] = body["proxy"]
        url += f"/{mirror.pk}"
    lines = (
        f"curl -X {'PUT' if mirror else 'POST'} {url}",
        f"-H 'X-Auth: {TOKEN}' -H 'Content-Type: application/json'",
        f"-d {shlex.quote(json.dumps(fields, indent=2, ensure_ascii=False))}",
    )
    return " \\\n  ".join(lines)


def _without_defaults(values: Mapping[str, object]) -> dict[str, object]:
    """The values that mean something else than an absent key; 0 does, as a CVE score."""
    return {
        key: value
        for key, value in values.items()
        if not (value is None or value is False or value in ("", []))
    }
