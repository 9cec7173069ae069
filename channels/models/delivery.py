"""What answering clients writes: files on their way, refusals, download counts, the generation."""

from __future__ import annotations

from django.db import models
from django.db.models import F

from channels.lease import Reserving
from channels.models.channel import Channel
from channels.models.files import FileSource


class Fetch(Reserving):
    """A file on its way for clients: one fetch over all processes, whoever asked first."""

    key = models.CharField(max_length=64, unique=True)
    path = models.CharField(max_length=64, blank=True)
    size = models.BigIntegerField(default=-1)

    def __str__(self) -> str:
        return self.key


class Refusal(models.Model):
    """A file the upstream could not give; remembered for a short while."""

    key = models.CharField(max_length=64, primary_key=True)
    status = models.IntegerField()
    message = models.TextField()
    until = models.DateTimeField(db_index=True)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    """Whose client asked; a run of one of its mirrors ends the refusal."""
    file_source = models.ForeignKey(FileSource, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return f"{self.status} {self.message}"


class Download(models.Model):
    """How often a file was downloaded, per day and user."""

    day = models.DateField()
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    section = models.CharField(max_length=128)
    filename = models.CharField(max_length=255)
    name = models.CharField(max_length=200)
    user = models.CharField(max_length=150, blank=True)
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["day", "channel", "section", "filename", "user"], name="download_once"
            )
        ]
        indexes = [models.Index(fields=["channel", "name"])]

    def __str__(self) -> str:
        return f"{self.day} {self.filename} {self.count}"


class Generation(models.Model):
    """One number that rises whenever an answer to a client may change.

    Web processes keep answers in memory for as long as it stands still.
    """

    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)

    @staticmethod
    def rise() -> None:
        """Call inside the transaction of the change."""
        if not Generation.objects.filter(pk=1).update(number=F("number") + 1):
            Generation.objects.get_or_create(pk=1, defaults={"number": 1})
