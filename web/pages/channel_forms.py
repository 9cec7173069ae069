"""The forms of channels, and the filter fields that channels and mirrors have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from channels.models import Channel
from ecosystems import registry
from ecosystems.licenses import FAMILIES
from filters.rules.form import CVE_STATUSES, FIELDS, FLAGS
from mirrors.models import MirrorType
from web.pages.account_forms import DateInput, FormData, LinesField, StyledForm

# A pasted list can have thousands of wrong entries; ten show which mistake it is.
MAX_FIELD_ERRORS = 10


class ChannelForm(StyledForm):
    """What a channel is created with."""

    name = forms.CharField(
        label="Name",
        max_length=64,
        help_text="Lowercase letters, digits, - and _. It is part of the URL that clients use.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    description = forms.CharField(
        label="Description",
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    privacy = forms.ChoiceField(
        label="Privacy",
        choices=Channel.Privacy.choices,
        widget=forms.RadioSelect,
        help_text="Public: everyone can read. Authenticated: everyone with an account or a "
        "token. Private: the owner and administrators.",
    )
    types = forms.MultipleChoiceField(
        label="Package types",
        required=False,
        choices=MirrorType.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="Packages of other types are excluded. If none is selected, all types are "
        "allowed.",
    )


class FilterForm(StyledForm):
    """The `filters` object of the API as fields of the same names."""

    subdirs = forms.MultipleChoiceField(
        label="Platforms",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="If none is selected, all platforms are allowed. Most platforms also need "
        "noarch.",
    )
    cve_score_threshold = forms.FloatField(
        label="Highest CVE score",
        required=False,
        min_value=0,
        max_value=10,
        widget=forms.NumberInput(attrs={"step": "0.1", "min": "0", "max": "10"}),
        help_text="From 0 to 10. Files with a higher score are excluded.",
    )
    exclude_non_curated_cve = forms.BooleanField(
        label="Exclude files with unreviewed vulnerabilities", required=False
    )
    cve_statuses_excluded = forms.MultipleChoiceField(
        label="Exclude files with a vulnerability of status",
        required=False,
        choices=[(status, status.capitalize()) for status in CVE_STATUSES],
        widget=forms.CheckboxSelectMultiple,
    )
    cve_unknown = forms.ChoiceField(
        label="Vulnerabilities without a score",
        required=False,
        choices=[("include", "Include the files"), ("exclude", "Exclude the files")],
    )
    exclude_malware = forms.BooleanField(
        label="Exclude malware",
        required=False,
        help_text="Files that an advisory reports as malicious, whatever their score.",
    )
    only_specs = LinesField(
        label="Only include the following package names",
        help_text="Type a name or a spec like <code>numpy &gt;=1.26</code> and press Tab after "
        "each. Dependencies are <strong>not</strong> added.",
    )
    exclude_specs = LinesField(
        label="Exclude Packages",
        help_text="Names, <code>p*</code>, or specs like <code>openssl &lt;3</code>.",
    )
    exclude_licenses = forms.MultipleChoiceField(
        label="Exclude Licenses",
        required=False,
        choices=[(family, family) for family in FAMILIES],
        widget=forms.SelectMultiple(attrs={"data-choices": "", "size": 5}),
        help_text="GPL covers GPL2 and GPL3. A package licensed “A or B” is excluded only if "
        "both are.",
    )
    include_specs = LinesField(
        label="Include Packages", help_text="Included even if an exclude list matches them."
    )
    include_licenses = forms.MultipleChoiceField(
        label="Include Licenses",
        required=False,
        choices=[(family, family) for family in FAMILIES],
        widget=forms.SelectMultiple(attrs={"data-choices": "", "size": 5}),
        help_text="Included even if an exclude list matches them.",
    )
    date_from = forms.DateField(label="Built from", required=False, widget=DateInput())
    date_to = forms.DateField(
        label="Built until",
        required=False,
        widget=DateInput(),
        help_text="Whole days in UTC, both included. Files without a build time are excluded.",
    )

    def __init__(
        self,
        data: FormData | None = None,
        *,
        terms: Mapping[str, Any] | None = None,
        initial: dict[str, Any] | None = None,
    ) -> None:
        """Of the saved filter `terms`; `initial` is for the fields that are no filters."""
        super().__init__(data, initial=initial)
        self.terms = dict(terms or {})
        # A saved platform that is offered no more stays a choice: without it, saving another
        # field would drop it from the filter.
        saved = self.terms.get("subdirs") or []
        sections = registry.at_root().sections([])
        subdirs = [*sections, *(subdir for subdir in saved if subdir not in sections)]
        platforms = self.fields["subdirs"]
        assert isinstance(platforms, forms.MultipleChoiceField)
        platforms.choices = [(subdir, subdir) for subdir in subdirs]
        for name in self.fields:
            if name in FIELDS:
                saved_value = self.terms.get(name)
                # A new filter is shown as it acts: malware is excluded unless it says otherwise.
                default = FLAGS.get(name) if saved_value is None else saved_value
                self.initial.setdefault(name, default)

    def filters(self) -> dict[str, Any]:
        """The whole `filters` object; what the form does not show keeps its value."""
        filters = {name: self.cleaned_data[name] for name in self.fields if name in FIELDS}
        # Terms are JSON: days are texts there.
        for name in ("date_from", "date_to"):
            filters[name] = filters[name].isoformat() if filters.get(name) else None
        return {**self.terms, **filters}


class ChannelSettingsForm(FilterForm):
    """A channel's settings and its filter."""

    description = forms.CharField(
        label="Description",
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    privacy = forms.ChoiceField(
        label="Privacy", choices=Channel.Privacy.choices, widget=forms.RadioSelect
    )
    types = forms.MultipleChoiceField(
        label="Package types",
        required=False,
        choices=MirrorType.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="If none is selected, all types are allowed.",
    )
    # What the fields were filled from: an edit in between is found, not overwritten.
    version = forms.IntegerField(widget=forms.HiddenInput)


def changed_meanwhile(noun: str) -> str:
    """What a form says whose hidden `version` is not the object's any more."""
    return (
        f"Someone else changed this {noun} after you opened this form. Reload the page to see the "
        "changes, then repeat yours."
    )


def add_errors(form: forms.Form, error: ValidationError) -> None:
    """Show the errors of a service at their fields; `filters.<field>.<index>` names an entry."""
    if not hasattr(error, "error_dict"):
        form.add_error(None, error.messages[0])
        return
    for key, messages in error.message_dict.items():
        steps = key.split(".")
        field = steps[1] if steps[0] == "filters" and len(steps) > 1 else steps[0]
        position = steps[2] if len(steps) > 2 else ""
        for message in messages:
            if len(form.errors.get(field, ())) < MAX_FIELD_ERRORS:
                _add_error(form, field, _with_entry(form, field, position, message))


def _add_error(form: forms.Form, field: str, message: str) -> None:
    cleaned_data = dict(form.cleaned_data)
    form.add_error(field if field in form.fields else None, message)
    # Django drops the value of a field that has an error, and the next error quotes an entry of it.
    form.cleaned_data = cleaned_data


def _with_entry(form: forms.Form, field: str, position: str, message: str) -> str:
    entries = form.cleaned_data.get(field) or []
    if position.isdecimal() and int(position) < len(entries):
        return f"“{entries[int(position)]}” (entry {int(position) + 1}): {message}"
    return message
