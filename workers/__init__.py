"""Background work: the dispatcher, Celery tasks, retention and garbage collection."""
