"""`manage.py advisories`: import, export, refresh and look at advisory data."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from advisories import bundle, feeds, lease
from advisories.lease import ImportBusy, LeaseLost
from advisories.models import Advisory, Curation, Feed, Mapping
from advisories.spool import BadArchive
from ecosystems.sentences import first_names
from publishing import advisory_changes


class Command(BaseCommand):
    """One subcommand for each thing to do."""

    help = "Import, export, refresh and look at advisory data."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        importer = actions.add_parser(
            "import", help="an OSV archive, NVD feed, name mapping, VEX document or bundle"
        )
        importer.add_argument("file", type=Path)
        exporter = actions.add_parser("export", help="everything as one bundle")
        exporter.add_argument("file", type=Path)
        actions.add_parser("refresh", help="fetch the configured feeds")
        actions.add_parser("status", help="age, counts and last error of each feed")

    def handle(self, *_: object, action: str, file: Path | None = None, **__: object) -> None:
        try:
            if action == "import" and file is not None:
                self._import(file)
            elif action == "export" and file is not None:
                self._export(file)
            elif action == "refresh":
                self._refresh()
            else:
                self._status()
        except (BadArchive, ImportBusy, LeaseLost) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}.") from error

    def _import(self, file: Path) -> None:
        result = feeds.import_upload(file)
        self._publish()
        self.stdout.write(f"{result.source.label}: {result}")
        for sentence in result.written.broken_names:
            self.stdout.write(f"  left out: {sentence}")

    def _export(self, file: Path) -> None:
        # Under its own name only once it is whole.
        partial = file.with_name(f"{file.name}.part")
        try:
            with lease.hold() as held:
                manifest = bundle.write(partial, held)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
        for member in manifest.members:
            self.stdout.write(f"{member.sha256}  {member.name}  {member.size:,} bytes")

    def _refresh(self) -> None:
        refreshed = feeds.refresh()
        if not refreshed:
            raise CommandError("Set OSV_URL, NVD_URL or CONDA_MAPPING_URL first.")
        self._publish()
        self._show(refreshed)
        if any(feed.error for feed in refreshed):
            raise CommandError("Not every feed could be refreshed.")

    def _status(self) -> None:
        self._show(list(Feed.objects.order_by("source", "url")))
        self.stdout.write(
            f"{Advisory.objects.filter(withdrawn=False).count():,} advisories, "
            f"{Mapping.objects.count():,} names mapped, {Curation.objects.count():,} curations"
        )

    def _publish(self) -> None:
        """Ask for publications: a worker does them, now or as soon as one runs."""
        channels = advisory_changes.request()
        if channels:
            names = first_names([channel.path for channel in channels], len(channels))
            self.stdout.write(f"To be published again: {names}")

    def _show(self, shown: list[Feed]) -> None:
        for feed in shown:
            last = f"{feed.succeeded_at:%Y-%m-%d %H:%M} UTC" if feed.succeeded_at else "never"
            counts = f"{feed.added:,} added, {feed.updated:,} updated, {feed.broken:,} broken"
            self.stdout.write(f"{feed}: last success {last}; {counts}")
            if feed.error:
                self.stdout.write(f"  {feed.error}")
