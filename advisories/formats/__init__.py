"""Readers of advisory data: OSV, NVD, CSAF, OpenVEX, the conda to Python name mapping.

Rule: nothing in here knows Django. A reader returns a value or raises `BadRecord`, whatever
bytes it gets; one broken record costs no other.
"""
