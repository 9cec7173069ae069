"""Files of this server's channels for runs, which wait on their thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from channels.models import Channel
from delivery.on_demand import blocking
from ecosystems.upstream import NotFound
from tests.channels import factory
from tests.delivery.on_demand.files import (
    BIG,
)
from tests.upstream import FakeUpstream

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_run_gets_files_of_a_channel_of_this_server(
    tools: Channel, upstream: FakeUpstream
) -> None:
    origin = factory.file_source("http://here/api/repo/tools/noarch", source=tools)

    def run(filename: str) -> str:
        name = filename.split("-", maxsplit=1)[0]
        return blocking.fetch_from_channel(origin, "noarch", filename, name=name).sha256

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run, BIG.filename).result() == BIG.sha256
        with pytest.raises(NotFound):
            pool.submit(run, "none-1.0-0.conda").result()
    assert upstream.count(f"/noarch/{BIG.filename}") == 1
