"""Turns snapshots and rules into a revision, and explains why a file is in it or not."""
