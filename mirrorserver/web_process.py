"""What each web process loads: the RSGI application, bound to the life of its parent."""

from mirrorserver import parent_watch

parent_watch.exit_with_parent()

import sys  # noqa: E402

import django  # noqa: E402 - the parent may be gone before this ends

# The event loop and each thread of Django's give up Python's lock ten times as often as usual:
# a request that changes threads a few times must not wait behind one that computes.
sys.setswitchinterval(0.0005)
django.setup()

from mirrorserver.rsgi.application import Application  # noqa: E402 - its models need Django

application = Application()

__all__ = ["application"]
