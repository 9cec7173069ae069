from django.apps import AppConfig


class MirrorsConfig(AppConfig):
    name = "mirrors"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from channels import ondemand as on_demand  # noqa: PLC0415
        from channels import verdicts  # noqa: PLC0415 - apps are loaded only now
        from mirrors import ondemand, tasks, why  # noqa: PLC0415

        tasks.hang_bells()
        verdicts.register(why.verdict)
        on_demand.register(ondemand.bring)
