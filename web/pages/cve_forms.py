"""The forms about advisories: a decision, many at once, an upload, and an entry of the mapping."""

from __future__ import annotations

from collections.abc import Sequence

from django import forms

from advisories.curation import Decision
from advisories.formats.statement import LONGEST_REASON, Status
from web.pages.account_forms import FormData, LinesField, StyledForm

STATUSES = (
    (Status.ACTIVE, "Active: it affects these files"),
    (Status.MITIGATED, "Mitigated: it is patched in these files"),
    (Status.CLEARED, "Cleared: it does not affect these files"),
    (Status.DISPUTED, "Disputed: it is contested"),
    (Status.REPORTED, "Reported: nobody has looked at it yet"),
)
ALL_FILES, VERSIONS, ONE_FILE = "all", "spec", "file"
SCOPES = (
    (ALL_FILES, "All files"),
    (VERSIONS, "Some versions"),
    (ONE_FILE, "One file"),
)

ListedPackage = tuple[str, str]
"""Artifact family and name."""


def key_of(package: ListedPackage) -> str:
    """A package as the value of a check box."""
    return "/".join(package)


class CurationForm(StyledForm):
    """A decision about an advisory and packages."""

    packages = forms.MultipleChoiceField(
        label="Packages",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Select at least one package."},
    )
    status = forms.ChoiceField(label="Status", choices=STATUSES)
    scope = forms.ChoiceField(
        label="Applies to", choices=SCOPES, widget=forms.RadioSelect, initial=ALL_FILES
    )
    spec = forms.CharField(
        label="Versions",
        required=False,
        max_length=200,
        help_text="For “Some versions”: a spec such as <code>&gt;=5.3,&lt;5.4</code>.",
    )
    filename = forms.CharField(
        label="File name",
        required=False,
        max_length=300,
        help_text="For “One file”: as the channel lists it.",
    )
    # Required: OpenVEX wants a reason for “affected” and “not affected”, and channels export their
    # decisions as such a document.
    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Say why, for whoever reads it later."},
    )

    def __init__(
        self, data: FormData | None = None, *, packages: Sequence[ListedPackage] = ()
    ) -> None:
        super().__init__(data, initial={"scope": ALL_FILES, "status": Status.ACTIVE})
        field = self.fields["packages"]
        # For mypy: `fields` has fields of any class.
        assert isinstance(field, forms.MultipleChoiceField)
        # What is no choice is refused: nobody decides here about packages that they cannot see.
        field.choices = [(key_of(row), f"{row[1]} ({row[0]})") for row in packages]
        # With one package there is nothing to choose.
        if len(packages) == 1:
            self.initial["packages"] = [key_of(packages[0])]

    def clean(self) -> dict[str, object]:
        data = super().clean() or {}
        for scope, field, sentence in (
            (VERSIONS, "spec", "Enter the versions."),
            (ONE_FILE, "filename", "Enter the name of the file."),
        ):
            # To the service an empty text means all files: more than was chosen here.
            if data.get("scope") == scope and not data.get(field):
                self.add_error(field, sentence)
        return data

    def decisions(self, advisory: str) -> list[Decision]:
        """One for each package."""
        data = self.cleaned_data
        # Families have no slash, so the first one ends the family.
        rows = [key.partition("/") for key in data["packages"]]
        return [
            Decision(
                advisory=advisory,
                family=family,
                package=name,
                status=data["status"],
                reason=data["reason"],
                # A text stays in its field when another scope is chosen, and is then not meant.
                spec=data["spec"] if data["scope"] == VERSIONS else "",
                filename=data["filename"] if data["scope"] == ONE_FILE else "",
            )
            for family, _, name in rows
        ]


class BulkForm(StyledForm):
    """One decision about all files that a channel lists of several advisories."""

    # No versions and no file: packages of several advisories have neither in common.
    status = forms.ChoiceField(label="Status", choices=STATUSES)
    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        error_messages={"required": "Say why, for whoever reads it later."},
    )


class UploadForm(StyledForm):
    """A file of advisory data."""

    file = forms.FileField(
        label="File",
        help_text="An OSV archive, NVD feed, name mapping, OpenVEX or CSAF document, or a bundle "
        "from another server. The server recognizes which one it is.",
        error_messages={"required": "Choose a file."},
    )


class MappingForm(StyledForm):
    """Which Python projects a conda package holds."""

    conda_name = forms.CharField(label="conda package", max_length=128)
    projects = LinesField(
        label="Python projects",
        help_text="Leave empty for a package that is no Python package.",
    )
