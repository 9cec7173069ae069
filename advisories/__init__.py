"""Advisories: what sources say of vulnerabilities and malware, and what people decided."""
