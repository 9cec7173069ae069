"""Mirrors, their upstreams, snapshots and runs, and what administrators do with them."""
