"""What each web process loads: the RSGI application, bound to the life of its parent."""

from mirrorserver import orphans

orphans.follow_parent()

import django  # noqa: E402 - the parent may be gone before this ends

django.setup()

from mirrorserver.rsgi.application import Application  # noqa: E402 - its models need Django

application = Application()

__all__ = ["application"]
