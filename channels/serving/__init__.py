"""What stands between a client's request under /api/repo and the bytes it gets."""
