"""The project itself: environment, settings, addresses, processes and the web server."""

from mirrorserver.celery import app as celery_app

__all__ = ["celery_app"]
