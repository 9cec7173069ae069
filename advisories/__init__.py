"""Vulnerability and malware reports: their formats, and which files they affect."""
