"""Everything behind `/api/repo`: paths, rights, look-up, responses, on-demand fetches, counts."""
