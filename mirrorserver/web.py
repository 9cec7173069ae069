"""What each web process loads: the WSGI application, bound to the life of its parent."""

from mirrorserver import orphans

orphans.follow_parent()

from mirrorserver.wsgi import application  # noqa: E402 - the parent may be gone before this ends

__all__ = ["application"]
