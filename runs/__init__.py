"""The eight steps of a run, its guard, its downloads; previews and connection tests."""
