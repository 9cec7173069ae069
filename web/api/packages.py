"""REST: the packages of channels and their files."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import HttpRequest
from ninja import Field, Path, Query, Router

from accounts.caller import caller_of
from accounts.permissions import Scope
from channels.models import Channel
from ecosystems import registry
from web.api import package_schemas
from web.api.channel_access import CHANNEL, SUBCHANNEL, ChannelRef, get_channel, visible_channels
from web.api.errors import ERRORS, invalid, not_found
from web.api.package_items import PackageItem
from web.api.package_schemas import PackageRows
from web.api.pagination import COUNT_LIMIT, Paging, item_list
from web.api.schemas import CountedAnswer, CountedList, ItemList, JsonObject, ListAnswer

router = Router(tags=["packages"])


class Search(Paging):
    q: str = Field("", max_length=200)
    sort: str = "name"
    artifact_family: str | None = Field(None, max_length=20)
    platform: str | None = Field(None, max_length=128)


def list_artifacts(
    request: HttpRequest, ref: Path[ChannelRef], search: Query[Search]
) -> CountedAnswer:
    """The packages a channel lists now; at most 1,000 at once, 100 where no limit is given.

    Packages that are searched for are counted up to 10,000: beyond it `count_exact` is false.
    """
    channel = get_channel(request, ref, "view-artifacts", "view")
    return _search([channel], search)


def get_artifact(
    request: HttpRequest, ref: Path[ChannelRef], family: str, name: str
) -> PackageItem:
    """One package."""
    channel = get_channel(request, ref, "view-artifacts", "view")
    rows = package_schemas.listed_packages([channel]).filter(
        family=family, name=_normal(family, name)
    )
    packages = package_schemas.page(rows, sort="name", paging=Paging(offset=0, limit=1))
    if not packages:
        raise not_found("package")
    return packages[0]


def list_files(
    request: HttpRequest, ref: Path[ChannelRef], family: str, name: str, paging: Query[Paging]
) -> ListAnswer:
    """The files of a package."""
    channel = get_channel(request, ref, "view-artifacts", "view")
    files = package_schemas.files(channel, family, name=_normal(family, name), paging=paging)
    if files is None:
        raise not_found("package")
    return item_list(*files)


@router.get("/artifacts", response={200: CountedList, **ERRORS})
def search_artifacts(request: HttpRequest, search: Query[Search]) -> CountedAnswer:
    """Packages over all channels you may know of."""
    caller = caller_of(request)
    caller.require_scope(Scope.ARTIFACT_VIEW, Scope.CHANNEL_VIEW_ARTIFACTS, Scope.CHANNEL_VIEW)
    return _search(visible_channels(caller), search)


def _search(channels: Iterable[Channel], search: Search) -> CountedAnswer:
    rows, sort = _matching(channels, search), _sort(search.sort)
    total = package_schemas.count(rows, most=COUNT_LIMIT if search.q else None)
    exact = not search.q or total <= COUNT_LIMIT
    # Nothing is looked for behind the last one.
    behind = exact and search.offset >= total
    items = [] if behind else package_schemas.page(rows, sort=sort, paging=search)
    return {
        **item_list(items, min(total, COUNT_LIMIT) if not exact else total),
        "count_exact": exact,
    }


def _matching(channels: Iterable[Channel], search: Search) -> PackageRows:
    """The packages of the channels that the query asks for."""
    rows = package_schemas.listed_packages(channels, query=search.q)
    if search.artifact_family:
        rows = rows.filter(family=search.artifact_family)
    if search.platform:
        rows = rows.filter(section=search.platform)
    return rows


def _sort(sort: str) -> str:
    if sort.removeprefix("-") not in package_schemas.SORTS:
        raise invalid(
            "sort", f"Packages are sorted by {', '.join(package_schemas.SORTS)}, - for downwards."
        )
    return sort


def _normal(family: str, name: str) -> str:
    try:
        # Names have many spellings (PEP 503), and rows have the normalized one.
        return registry.of_family(family).normalize_name(name)
    except KeyError:
        raise not_found("package") from None


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for path, view, answer in (
        ("/artifacts", list_artifacts, CountedList),
        ("/artifacts/{family}/{name}", get_artifact, JsonObject),
        ("/artifacts/{family}/{name}/files", list_files, ItemList),
    ):
        router.add_api_operation(
            base + path,
            ["GET"],
            view,
            response={200: answer, **ERRORS},
            operation_id=view.__name__ + suffix,
        )
