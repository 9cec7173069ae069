from django.apps import AppConfig


class MirrorserverConfig(AppConfig):
    name = "mirrorserver"
