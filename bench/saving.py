"""Save lists of 100,000 specs by PUT, in this process: `python -m bench.saving`.

Prints a line for each list: the CPU seconds of the whole request, for a mirror and for a channel.
`bench.filters` runs it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorserver.settings")
# Before the imports below: models need Django's apps to be ready.
django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

from accounts import jwt  # noqa: E402
from accounts.first_start import ensure_admin  # noqa: E402
from accounts.models import User  # noqa: E402
from bench import goals  # noqa: E402
from channels import services as channel_manage  # noqa: E402
from filters.rules.form import MOST_ENTRIES  # noqa: E402
from mirrors import services  # noqa: E402

GOAL = 3.0
TIMES = 2
LISTS = {
    "names": "package-{n}",
    "conditions": "package-{n} >=1.{m},<2",
    "stars and builds": "package-{n} 1.{m}.* py3{m}*",
    "brackets": "package-{n}[version='>=1.{m},<2',build='py3*']",
}


def main() -> None:
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    # WhiteNoise warns of a missing folder.
    Path(settings.STATIC_ROOT).mkdir()
    settings.ALLOWED_HOSTS = ["*"]
    ensure_admin("bench bench bench")
    admin = User.objects.get(username="admin")
    channel = channel_manage.create("bench", admin)
    source = {"mirror_name": "bench", "source_root": "http://127.0.0.1:9/none"}
    services.create(channel, source, owner=admin)
    print(f"{MOST_ENTRIES:,} specs saved by PUT, CPU seconds")
    for name, form in LISTS.items():
        for number, path in enumerate(("/channels/bench/mirrors/bench", "/channels/bench")):
            # The fastest: other programs on the machine only ever add to it.
            took = min(_put(admin, path, form, f"{number}{turn}") for turn in range(TIMES))
            whose = "channel" if number else "mirror"
            print(f"{name:20}{whose:10}{took:6.2f}  {goals.at_most(took, GOAL, ' s')}")
    print()


def _put(admin: User, path: str, form: str, salt: str) -> float:
    """The CPU seconds of a request with new specs: parsed specs are cached."""
    specs = [form.format(n=f"{salt}-{n}", m=n % 9) for n in range(MOST_ENTRIES)]
    body = json.dumps({"filters": {"exclude_specs": specs}})
    headers = {"Authorization": f"Bearer {jwt.issue(admin)[0]}"}
    client = Client()
    began = time.process_time()
    answer = client.put(f"/api{path}", body, content_type="application/json", headers=headers)
    took = time.process_time() - began
    if answer.status_code not in (200, 202):
        raise SystemExit(f"PUT {path}: {answer.status_code} {answer.content[:500]!r}")
    return took


if __name__ == "__main__":
    main()
