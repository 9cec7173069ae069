"""Filters as pure judgement: from the saved form to a Reason for each file left out.

Rule: nothing in here knows Django, a database or the clock; the same filters
and the same records always give the same verdicts.
"""

from filters.rules.form import normalized, problems
from filters.rules.judgement import judge, refused, twins
from filters.rules.model import Reason, Rule, Rules, compile_rules, lenient
from filters.rules.overlap import compared, conflicts
from filters.rules.problems import Problem

__all__ = [
    "Problem",
    "Reason",
    "Rule",
    "Rules",
    "compared",
    "compile_rules",
    "conflicts",
    "judge",
    "lenient",
    "normalized",
    "problems",
    "refused",
    "twins",
]
