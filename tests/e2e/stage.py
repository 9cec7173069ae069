"""A server with something on it: channels, mirrors that have run, users, tokens, hostile names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from accounts import tokens
from accounts.models import Role, User
from channels import services
from channels.models import Channel
from history.models import Event
from mirrors.models import Mirror
from tests import scene
from tests.condatree import FakeConda
from tests.web import advisory_scene

HOSTILE = "<script>alert(1)</script> \u202egnirts\u202c \x1b[31mred\x1b[0m " + "long" * 40


NOARCH = (
    "attrs", "boto3", "botocore", "cachetools", "certifi", "charset-normalizer", "click",
    "cloudpickle", "colorama", "dask", "decorator", "defusedxml", "distlib", "docutils",
    "fastapi", "filelock", "flask", "fsspec", "idna", "importlib-metadata", "jinja2", "joblib",
    "jsonschema", "jupyter", "jupyter_client", "jupyter_core", "jupyter_events",
    "jupyter_server", "jupyter-lsp", "jupyterhub", "jupyterlab", "jupyterlab_server",
    "jupytext", "mistune", "nbformat", "networkx", "packaging", "partd", "pip", "platformdirs",
    "plotly", "pluggy", "pygments", "pytest", "python-dateutil", "pytz", "requests", "rich",
    "seaborn", "setuptools", "six", "sympy", "tomli", "toolz", "tqdm", "typing_extensions",
    "urllib3", "werkzeug", "wheel", "zipp",
)  # fmt: skip


@dataclass
class Stage:
    admin: User
    reader: User
    main: Channel
    frozen: Channel
    empty: Channel
    staging: Channel
    mirror: Mirror


def upstream(conda: FakeConda) -> None:
    """A small channel with everything the pages show."""
    for name in NOARCH:
        conda.add("noarch", name, "1.0", license="MIT")
    for version in ("1.24.0", "1.26.4", "2.0.1"):
        conda.add("linux-64", "numpy", version, license="BSD-3-Clause", depends=("python >=3.9",))
        conda.add("win-64", "numpy", version, license="BSD-3-Clause", depends=("python >=3.9",))
    advisory_scene.upstream(conda)
    conda.add("linux-64", "readline", "8.2", license="GPL-3.0-only")
    conda.add("noarch", "hostile", "1.0", license=HOSTILE, depends=(HOSTILE,))
    conda.publish()


def build(conda: FakeConda) -> Stage:
    """Channels and mirrors as after some days of use; mirrors run in this process."""
    admin = scene.admin()
    reader = User.objects.create_user(
        "reader", password="reading is fun", role=Role.objects.get(name="reader")
    )
    main = scene.channel("main", description="What everybody may use.")
    empty = scene.channel("empty")
    frozen = services.create("frozen", admin, description=HOSTILE, privacy="private")
    staging = services.create("staging", admin, parent=main)
    upstream(conda)
    mirror = scene.mirror(
        main,
        conda.channel,
        "approved_software",
        mirror_mode="passive",
        filters={"exclude_licenses": ["GPL"], "exclude_specs": ["jupyter*"]},
    )
    scene.run_now(mirror)
    scene.publish(main)
    conda.add("noarch", "polars", "2.0", license="MIT")
    conda.drop("noarch", "botocore-1.0-0.conda")
    conda.publish()
    scene.run_now(mirror)
    scene.publish(main)
    scene.mirror(frozen, conda.channel, "everything", mirror_mode="active")
    with TemporaryDirectory() as folder:
        advisory_scene.import_all(Path(folder))
    advisory_scene.settle(main)
    services.freeze(frozen, actor="admin")
    tokens.issue(admin, "build server", expires=date(2030, 1, 1))
    tokens.issue(admin, "old laptop", expires=date(2020, 1, 1), scopes=["artifact:download"])
    for channel in (main, frozen, empty, staging):
        channel.refresh_from_db()
    return Stage(admin, reader, main, frozen, empty, staging, mirror)


def pages(stage: Stage) -> dict[str, str]:
    """Every page by a short name."""
    main = f"/channels/{stage.main.name}"
    event = f"{main}/history/"
    mirror = f"{main}/mirrors/{stage.mirror.pk}"
    return {
        "dashboard": "/",
        "channels": "/channels/",
        "create-channel": "/create-channel/",
        "overview": f"{main}/",
        "packages": f"{main}/packages/",
        "package": f"{main}/packages/conda/numpy/",
        "hostile-package": f"{main}/packages/conda/hostile/",
        "why": f"{main}/packages/why/?q=readline",
        "subchannels": f"{main}/subchannels/",
        "subchannel": f"{main}/staging/",
        "mirrors": f"{main}/mirrors/",
        "create-mirror": f"{main}/mirrors/create/",
        "edit-mirror": f"{mirror}/edit/",
        "mirror-details": f"{mirror}/",
        "duplicate-mirror": f"{main}/mirrors/create/?like={stage.mirror.pk}",
        "past-runs": f"{mirror}/runs/",
        "left-out": f"{mirror}/runs/2/files/?reason=mirror.exclude_specs",
        "stop-mirror": f"{mirror}/stop/",
        "delete-mirror": f"{mirror}/delete/",
        "all-mirrors": "/mirrors/",
        "cves": f"{main}/cves/",
        "all-cves": "/cves/",
        "known-cves": "/cves/?show=all",
        "cve": "/cves/CVE-2020-14343/",
        "cve-downloads": "/cves/CVE-2020-14343/downloads/",
        "cve-data": "/cves/data/?q=py",
        "marked-package": f"{main}/packages/conda/pyyaml/",
        "history": event,
        "event": f"{event}{Event.objects.filter(mirror_id=stage.mirror.pk).latest('pk').pk}/",
        "revisions": f"{main}/revisions/",
        "changes": f"{main}/revisions/2..3/",
        "settings": f"{main}/settings/",
        "frozen": "/channels/frozen/",
        "empty": "/channels/empty/packages/",
        "delete": f"{main}/staging/settings/delete/",
        "profile": "/profile/",
        "password": "/profile/password/",
        "sessions": "/profile/sessions/",
        "audit-log": "/audit-log/",
        "users": "/users/",
        "create-user": "/users/create/",
        "roles": "/roles/",
        "create-role": "/roles/create/",
        "not-found": "/channels/nowhere/",
    }
