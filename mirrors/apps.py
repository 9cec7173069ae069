from django.apps import AppConfig


class MirrorsConfig(AppConfig):
    name = "mirrors"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from channels import ondemand as on_demand  # noqa: PLC0415
        from channels import verdicts  # noqa: PLC0415 - apps are loaded only now
        from publishing import explain, lazy_records  # noqa: PLC0415
        from workers import tasks  # noqa: PLC0415

        tasks.hang_bells()
        verdicts.register(explain.verdict)
        on_demand.register(lazy_records.bring)
