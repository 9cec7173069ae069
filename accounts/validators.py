"""What a password may not be, beside Django's own rules."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from django.core.exceptions import ValidationError

NAMES = ("mirrorserver", "mirror server", "mirror")
MOST_ALIKE = 0.7
"""As in Django's UserAttributeSimilarityValidator."""


class ProductNameValidator:
    """Refuses passwords that are the product's name with little added."""

    def validate(self, password: str, user: Any = None) -> None:  # noqa: ARG002
        """Raise ValidationError for such a password."""
        text = password.casefold()
        if any(SequenceMatcher(a=text, b=name).quick_ratio() >= MOST_ALIKE for name in NAMES):
            raise ValidationError(
                "The password is too similar to the product's name.", code="password_too_similar"
            )

    def get_help_text(self) -> str:
        """For lists of rules."""
        return "Your password can’t be too similar to the product’s name."
