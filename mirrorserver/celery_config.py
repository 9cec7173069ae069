"""Celery's settings, in its own lower-case names; read when the app is first used.

A message only wakes a worker. Losing, doubling or delaying one changes
nothing, because rows say what is to be done; so messages are taken early, never retried and
leave no result behind.
"""

from mirrorserver import environment

_env = environment.load()

accept_content = ["json"]
task_serializer = "json"
task_ignore_result = True
task_acks_late = False
# Whoever saves a row must not wait for a broker that is away: the dispatcher finds the row anyway.
task_publish_retry = False
# Previews have a worker of their own, so that they never keep a run waiting.
task_routes = {"workers.tasks.make_preview": {"queue": "previews"}}
# A message that one worker holds back is one that an idle worker does not get.
worker_prefetch_multiplier = 1
worker_hijack_root_logger = False
worker_proc_alive_timeout = 30
broker_connection_retry_on_startup = True
result_expires = None
enable_utc = True
timezone = "UTC"

broker_transport_options: dict[str, object]
if _env.redis_url:
    # kombu's name for what redis-py calls unix://.
    broker_url = _env.redis_url.replace("unix://", "redis+socket://", 1)
    broker_transport_options = {"socket_timeout": 10, "socket_connect_timeout": 10}
else:
    broker_url = "filesystem://localhost//"
    broker_transport = "mirrorserver.broker:Transport"
    broker_transport_options = {
        "data_folder_in": str(_env.data / "broker" / "queue"),
        "data_folder_out": str(_env.data / "broker" / "queue"),
        "control_folder": str(_env.data / "broker" / "control"),
        "polling_interval": 0.2,
    }

# Stored in the database by django-celery-beat, where the operator sees when each last ran, with the
# tasks of the mirrors (whose names have no slash). A round that nobody took before the next one is
# due is dropped.
beat_schedule = {
    f"system/{name}": {"task": task, "schedule": seconds, "options": {"expires": seconds}}
    for name, task, seconds in (
        ("dispatch", "workers.tasks.dispatch_round", 60.0),
        ("clean up", "workers.tasks.clean_up", 3600.0),
        ("refresh advisories", "workers.tasks.refresh_advisories", 3600.0),
    )
}
