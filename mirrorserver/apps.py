import os

from django.apps import AppConfig
from django.conf import settings


class MirrorserverConfig(AppConfig):
    name = "mirrorserver"

    def ready(self) -> None:
        # Django writes its own TIME_ZONE there; the processes begun by this one read the
        # operator's again.
        os.environ["TZ"] = settings.DEFAULT_CRON_TIMEZONE
