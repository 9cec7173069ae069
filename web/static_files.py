"""Collecting the static files at the start, when they changed since the last time."""

import hashlib

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


def collect() -> None:
    """Run `collectstatic` unless the last one saw exactly the files that are there now."""
    stamp = settings.DATA / "run" / "static.stamp"
    stamp.parent.mkdir(exist_ok=True)
    now = _fingerprint()
    if stamp.exists() and stamp.read_text() == now and settings.STATIC_ROOT.exists():
        return
    # Cleared first: a file that no app has any more would be served for ever.
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    # Last, so that a start which is interrupted above collects again.
    stamp.write_text(now)


def _fingerprint() -> str:
    # Another storage writes other names, so its name counts like a file.
    storage = settings.STORAGES["staticfiles"]["BACKEND"]
    digest = hashlib.sha256(storage.encode())
    for finder in get_finders():
        for path, source in finder.list([]):
            modified = source.get_modified_time(path).isoformat()
            digest.update(f"{path}\0{source.size(path)}\0{modified}\n".encode())
    return digest.hexdigest()
