"""The events of a channel: what happened, when, and through whom."""
