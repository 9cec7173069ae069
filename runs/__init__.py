"""The eight steps of a run, and what uses them: previews and connection tests."""
