"""The REST API: one router for each subject, mounted by `root`."""
