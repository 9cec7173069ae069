"""Advisories as pure judgement: from affected ranges and curations to facts of a file.

Rule: nothing in here knows Django, a database or the clock.
"""
