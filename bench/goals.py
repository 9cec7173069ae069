"""How a goal is printed with a figure: with its bound, and whether it is met."""

from __future__ import annotations


def at_most(value: float, goal: float, unit: str = "") -> str:
    """For what should be small."""
    return _shown("<=", goal, unit, met=value <= goal)


def at_least(value: float, goal: float, unit: str = "") -> str:
    """For what should be large."""
    return _shown(">=", goal, unit, met=value >= goal)


def _shown(sign: str, goal: float, unit: str, *, met: bool) -> str:
    return f"goal {sign} {goal:,g}{unit}: {'met' if met else 'missed'}"
