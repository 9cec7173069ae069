"""Pages: Create a mirror, Edit mirror."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.caller import Caller
from accounts.permissions import Level
from channels import access
from channels.errors import Stale, WrongState
from channels.models import Channel
from channels.states import STOPPABLE
from ecosystems import registry
from mirrors import services
from mirrors.models import Mirror, MirrorType
from web.pages.channel_forms import add_errors, changed_meanwhile
from web.pages.channel_frame import channel_url, render_tab
from web.pages.filter_summary import channel_filters
from web.pages.guards import signed_in, user_of
from web.pages.mirror_access import channel_for_mirrors, get_mirror
from web.pages.mirror_forms import CONDA_ONLY, MirrorForm
from web.pages.pagination import PAGE_SIZE, number_parameter

# A select with more options is of no use; the URL of any channel can be typed.
MAX_LOCAL_CHANNELS = 100
MAX_ID = 999_999_999
COMMON_SOURCES = {
    MirrorType.CONDA.value: (
        ("https://conda.anaconda.org/conda-forge", "conda-forge"),
        ("https://repo.anaconda.com/pkgs/main", "Anaconda main"),
        ("https://repo.anaconda.com/pkgs/r", "Anaconda r"),
        ("https://repo.anaconda.com/pkgs/msys2", "Anaconda msys2"),
    ),
    MirrorType.PYTHON.value: ((settings.PYTHON_INDEX.url, settings.PYTHON_INDEX.name),),
    MirrorType.CRAN.value: (
        ("https://cran.r-project.org", "CRAN"),
        ("https://cloud.r-project.org", "CRAN's nearest mirror"),
    ),
}
SOURCE_HINTS = {
    MirrorType.CONDA.value: "The URL of a conda channel, without a platform at its end.",
    MirrorType.PYTHON.value: (
        "The URL of a Python package index, with or without /simple at its end."
    ),
    MirrorType.CRAN.value: "The URL of a CRAN-like repository, without /src/contrib at its end.",
}
_ABOUT_CONDA = "Keep Legacy Packages applies only to conda."
TYPE_NOTES = {
    MirrorType.PYTHON.value: (
        "Standard python mirrors have no Platforms: the files of a project are "
        f"mirrored for all of them. {_ABOUT_CONDA}"
    ),
    MirrorType.CRAN.value: (
        "Standard R mirrors have no Platforms: sources are the same for all of them, "
        f"and binaries come with the sources. {_ABOUT_CONDA}"
    ),
}


@signed_in
def create(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """The Create mirror form; filled in as another mirror of the channel, where one is named."""
    channel = channel_for_mirrors(request, c, s, level=Level.WRITE)
    number = number_parameter(request, "like", maximum=MAX_ID, default=0)
    like = get_mirror(request, c, s, number, level=Level.WRITE) if number else None
    form = MirrorForm(request.POST or None, like=like)
    if request.method == "POST" and form.is_valid():
        mirror = _save(request, form, channel, None)
        if mirror:
            return _redirect_to_row(request, mirror, f"Mirror {mirror.name} created.")
    return _form_page(request, channel, form, like=like)


@signed_in
def edit(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """The Edit mirror form, filled with the saved values; mode and type cannot be changed."""
    mirror = get_mirror(request, c, s, pk, level=Level.WRITE)
    form = MirrorForm(request.POST or None, mirror=mirror)
    if request.method == "POST" and form.is_valid():
        saved = _save(request, form, mirror.channel, mirror)
        if saved:
            return _redirect_to_row(request, saved, f"Mirror {saved.name} saved.")
    return _form_page(request, mirror.channel, form)


def _save(
    request: HttpRequest, form: MirrorForm, channel: Channel, mirror: Mirror | None
) -> Mirror | None:
    user = user_of(request)
    try:
        if mirror is None:
            return services.create(channel, form.body(), owner=user)
        expected = form.cleaned_data["version"]
        return services.edit(mirror, form.body(), actor=Caller(user), expected=expected)
    except ValidationError as error:
        add_errors(form, error)
    except Stale:
        form.add_error(None, changed_meanwhile("mirror"))
    except WrongState as error:
        form.add_error(None, str(error))
    return None


def _redirect_to_row(request: HttpRequest, mirror: Mirror, message: str) -> HttpResponse:
    """Go to the mirror's row in the list."""
    running = mirror.runs.filter(state__in=STOPPABLE).exists()
    suffix = " It is running; its row shows the progress." if running else ""
    messages.success(request, message + suffix)
    # Lists are sorted by name: the rows before it say on which page the row is.
    before = Mirror.objects.filter(channel=mirror.channel, deleted_at=None, name__lt=mirror.name)
    page = before.count() // PAGE_SIZE + 1
    list_url = channel_url(mirror.channel, "channel-mirrors")
    return redirect(f"{list_url}{f'?page={page}' if page > 1 else ''}#mirror-{mirror.pk}")


def _form_page(
    request: HttpRequest, channel: Channel, form: MirrorForm, *, like: Mirror | None = None
) -> HttpResponse:
    local_channels = access.visible_channels(request.user).exclude(pk=channel.pk).order_by("name")
    context = {
        "form": form,
        "mirror": form.mirror,
        "template_mirror": like,
        "without_credentials": like and (like.upstream.credential or like.upstream.proxy),
        "examples": [
            (kind, MirrorType(kind).label, COMMON_SOURCES[kind])
            for kind in registry.kinds()
            if not form.mirror or kind == form.mirror.kind
        ],
        "hints": {kind: SOURCE_HINTS[kind] for kind in registry.kinds()},
        "type_notes": {kind: TYPE_NOTES[kind] for kind in registry.kinds() if kind in TYPE_NOTES},
        "own_channels": [
            (f"{settings.PUBLIC_URL}/api/repo/{channel_row.path}", channel_row.path)
            for channel_row in local_channels[:MAX_LOCAL_CHANNELS]
        ],
        "filters": channel_filters(channel),
        "conda_only": CONDA_ONLY,
        # Not beside errors: these warnings are about what is saved, not about what was sent.
        "warnings": form.mirror.warnings if form.mirror and not form.is_bound else [],
    }
    # A form that was refused is not a success (RFC 9110, 15.5.21), also for scripts that post it.
    status = 422 if form.errors else 200
    return render_tab(
        request,
        channel,
        "channel-mirrors",
        template="mirrors/form.html",
        context=context,
        status=status,
    )
