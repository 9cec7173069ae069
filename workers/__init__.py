"""Background work: dispatcher, Celery tasks, retention, garbage collection."""
