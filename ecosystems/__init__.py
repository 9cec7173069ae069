"""The index formats of conda, Python and R, and the HTTP client, without Django."""
