"""Answers everything behind `/api/repo`: paths, rights, look-up, on-demand fetches, counts."""
