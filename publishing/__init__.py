"""From snapshots and rules to a published revision, and why a file is in it or not."""
