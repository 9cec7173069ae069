from django.apps import AppConfig


class ChannelsConfig(AppConfig):
    name = "channels"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from channels import signals  # noqa: PLC0415 - apps are loaded only now

        signals.connect()
