"""Pages: the packages of a channel, one package, and why a file is here or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse

from channels.models import Channel, Package
from publishing.explain import Answers, why
from publishing.outcomes import State
from web.api import package_schemas
from web.api.package_items import PackageItem
from web.api.package_schemas import PackageRows
from web.api.pagination import COUNT_LIMIT, Paging
from web.pages.channel_frame import get_channel, render_tab
from web.pages.guards import signed_in
from web.pages.pagination import PAGE_SIZE, Page, page_number, text_parameter

Record: TypeAlias = Mapping[str, object]
"""What an index says of one file, by the names of its type."""
STATE_BADGES = {
    "listed": "kept",
    State.PRESENT: "downloaded",
    State.ON_DEMAND: "on demand",
    State.MISSING: "missing",
    State.STAYS: "kept",
    State.EXCLUDED: "left_out",
}
"""The badge for the state of a file; of one that is only `listed`, nothing else is known."""


@signed_in
def list_packages(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """The packages clients can get now."""
    channel = get_channel(request, c, s)
    query = text_parameter(request, "q")
    platform = text_parameter(request, "platform")
    sort = request.GET.get("sort", "name")
    if sort.removeprefix("-") not in package_schemas.SORTS:
        sort = "name"
    rows = package_schemas.listed_packages([channel], query=query)
    if platform:
        rows = rows.filter(section=platform)
    page = _page(request, rows, sort)
    context = {
        "page": page,
        "query": query,
        "platform": platform,
        "platforms": _platforms(channel),
        "sort": sort,
        "downloaded_counts": _downloaded(channel, [row["name"] for row in page.rows]),
    }
    return render_tab(
        request,
        channel,
        "channel-packages",
        template="channels/packages.html",
        context=context,
    )


@signed_in
def package(
    request: HttpRequest, family: str, name: str, c: str, s: str | None = None
) -> HttpResponse:
    """One package: its files, what they need, and how to install it."""
    channel = get_channel(request, c, s)
    # PostgreSQL refuses NUL in a parameter, and no name has it.
    name = name.replace("\x00", "")
    rows = package_schemas.listed_packages([channel]).filter(
        family=family.replace("\x00", ""), name=name
    )
    items = package_schemas.page(rows, sort="name", paging=Paging(offset=0, limit=1))
    number = page_number(request)
    paging = Paging(offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    files = package_schemas.files(channel, family, name=name, paging=paging) if items else None
    if not files or not files[0]:
        raise Http404(f"The channel {channel.path} does not list the package {name}.")
    newest = package_schemas.newest(channel, family, name=name) or files[0][0]
    record = _record(newest)
    context = {
        "package": items[0],
        "page": Page([_row(file) for file in files[0]], number, files[1]),
        "newest": newest,
        "depends": _dependencies(family, record),
        "constrains": _strings(record.get("constrains")),
    }
    return render_tab(
        request,
        channel,
        "channel-packages",
        template="channels/package.html",
        context=context,
    )


@signed_in
def explain(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """Why is it (not) here? For any package or file name."""
    channel = get_channel(request, c, s)
    query = text_parameter(request, "q")
    answers = why(channel, query) if query else Answers([])
    page = Page(answers.items[:PAGE_SIZE], 1, min(len(answers.items), PAGE_SIZE))
    context = {
        "query": query,
        "total": len(answers.items),
        "more": answers.more,
        "page": page,
        "kept": sum(1 for answer in answers.items if answer["kept"]),
        "state_badges": STATE_BADGES,
    }
    return render_tab(
        request, channel, "channel-packages", template="channels/why.html", context=context
    )


def _page(request: HttpRequest, rows: PackageRows, sort: str) -> Page[PackageItem]:
    # Packages are counted up to the limit only, as other lists: see pagination.paginate.
    number, total = page_number(request), package_schemas.count(rows, most=COUNT_LIMIT)
    if (number - 1) * PAGE_SIZE >= total:
        number = 1
    paging = Paging(offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    return Page(package_schemas.page(rows, sort=sort, paging=paging), number, total)


def _platforms(channel: Channel) -> list[str]:
    rows = Package.objects.at(channel.current).filter(channel=channel, shard__isnull=False)
    return sorted(set(rows.order_by().values_list("section", flat=True).distinct()))


def _downloaded(channel: Channel, names: list[str]) -> dict[str, int]:
    """How many of each package's files are here."""
    rows = Package.objects.at(channel.current).filter(channel=channel, name__in=names)
    sums = rows.order_by().values_list("name").annotate(downloaded=Sum("present"))
    return dict(sums)


def _row(file: Mapping[str, Any]) -> dict[str, object]:
    record = _record(file)
    return {
        **file,
        # conda and CRAN write the key differently.
        "license": record.get("license") or record.get("License"),
        "section": file["ckey"].rpartition("/")[0],
    }


def _record(file: Mapping[str, Any]) -> Record:
    """What the index says of a file."""
    # conda's stands below the name of the file that conda-build writes it into.
    metadata: Record = file["metadata"]
    record: Record = file["metadata"].get("repodata_record.json", metadata)
    return record


def _dependencies(family: str, record: Record) -> list[str] | None:
    """What a file depends on; None where its index does not say."""
    if family == "conda":
        return _strings(record.get("depends"))
    if family == "cran":
        # Writing R Extensions, 1.1.3: these are needed to install, Suggests and Enhances are not.
        fields = (record.get(key) or "" for key in ("Depends", "Imports", "LinkingTo"))
        return [name.strip() for field in fields for name in str(field).split(",") if name.strip()]
    # The Simple API has no dependencies: they are in each file's METADATA (PEP 658).
    return None


def _strings(value: object) -> list[str]:
    return [str(entry) for entry in value] if isinstance(value, list) else []
