"""The form of a mirror: its fields have the labels that the documentation uses.

The rule: a field has the name of the API's key, so an error of a service is shown at its field.
What a type does not have is neither read nor saved.
"""

from __future__ import annotations

from typing import Any, TypeAlias
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from channels import readership
from ecosystems import registry
from mirrors import source_urls
from mirrors.cron import MONTHLY
from mirrors.form_fields import LONGEST_NAME
from mirrors.models import Mirror, MirrorType
from web.pages.account_forms import FormData, LinesField
from web.pages.channel_forms import FilterForm
from web.pages.spec_lists import SpecListField

CUSTOM = "custom"
FREQUENCIES = (
    (MONTHLY, "Monthly: at midnight on the first day of every month"),
    ("0 0 * * 0", "Weekly: at midnight on Sundays"),
    ("0 0 * * *", "Daily: at midnight"),
    (CUSTOM, "Custom cron"),
)
# Shown at once; the others are behind “More platforms”.
COMMON_PLATFORMS = ("noarch", "win-64", "linux-64", "osx-64", "osx-arm64")
CONDA_ONLY = ("subdirs", "keep_legacy")
MirrorBody: TypeAlias = dict[str, Any]
"""The body of the API's POST and PUT for a mirror."""
NO_CONDA_FILTERS: dict[str, object] = {
    "subdirs": [],
    "keep_legacy": False,
}

NO_PYTHON_FILTERS: dict[str, object] = {
    "file_formats": [],
    "python_versions": [],
    "platform_tags": [],
    "allow_unhashed": False,
}


class MirrorForm(FilterForm):
    """Create or edit a mirror."""

    mirror_mode = forms.ChoiceField(
        label="Mode", choices=Mirror.Mode.choices, widget=forms.RadioSelect
    )
    mirror_name = forms.CharField(
        label="Name",
        max_length=LONGEST_NAME,
        error_messages={"required": "Enter a name."},
        help_text="Describe its content, for example main_channel_no_filters or approved_software.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    source_root = forms.CharField(
        label="External Source Channel",
        max_length=source_urls.LONGEST,
        error_messages={"required": "Enter the URL of the source."},
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "spellcheck": "false",
                "inputmode": "url",
                "aria-describedby": "source-hint id_source_root_error",
            }
        ),
    )
    proxy = forms.CharField(
        label="Proxy",
        required=False,
        max_length=source_urls.LONGEST,
        help_text="Only if the source needs one: http://host:port or "
        "http://user:password@host:port.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    publish_to_more_readers = forms.BooleanField(
        label="Publish to more readers",
        required=False,
        help_text="Only if the source is a channel on this server with fewer readers than this "
        "channel: everyone who can read this channel can then read the source's packages. You "
        "must be allowed to manage the source.",
    )
    mirror_type = forms.ChoiceField(label="Type")
    keep_legacy = forms.BooleanField(
        label="Keep Legacy Packages",
        required=False,
        help_text="Mirrors both the .conda and the .tar.bz2 file of a package. This takes about "
        "twice "
        "the space.",
    )
    only = forms.BooleanField(
        label="Only include the following package names",
        required=False,
        help_text="<strong>Caution:</strong> dependencies are not added. Clients cannot install "
        "packages whose dependencies are missing.",
    )
    only_specs = SpecListField(
        label="Package names",
        help_text="Type a name and press Tab after each. A spec like <code>numpy &gt;=1.26</code> "
        "limits the versions.",
    )
    exclude_specs = SpecListField(
        label="Exclude Packages",
        help_text="Names, <code>p*</code> for all that begin with p, or specs like "
        "<code>openssl &lt;3</code>. Press Tab after each.",
    )
    include_specs = SpecListField(
        label="Include Packages",
        help_text="Included even if excluded above. For example, exclude <code>p*</code> and "
        "include "
        "<code>python</code>.",
    )
    file_formats = forms.MultipleChoiceField(
        label="File Formats",
        required=False,
        choices=[("wheel", "Wheels"), ("sdist", "Source distributions")],
        widget=forms.CheckboxSelectMultiple,
        help_text="If none is selected, all formats are mirrored.",
    )
    python_versions = LinesField(
        label="Python Versions",
        help_text="For example 3.12. Keeps the wheels that CPython of these versions can install. "
        "If none is given, all wheels are kept.",
    )
    platform_tags = LinesField(
        label="Platform Tags",
        help_text="For example <code>win_amd64</code> or <code>manylinux*_x86_64</code>. Wheels "
        "for any platform are always kept.",
    )
    newest_versions = forms.IntegerField(
        label="Newest Versions",
        required=False,
        min_value=1,
        help_text="How many versions of each package to keep, of those that pass the other "
        "filters. Pre-releases do not count.",
    )
    largest_size = forms.IntegerField(
        label="Largest Size",
        required=False,
        min_value=1,
        help_text="In bytes. Larger files are left out.",
    )
    allow_unhashed = forms.BooleanField(
        label="Allow Files Without a Hash",
        required=False,
        help_text="<strong>Caution:</strong> nobody can verify a file whose hash the source does "
        "not state. Its first download is trusted, its SHA-256 is pinned from then on, and it is "
        "marked as unverified. If this is off, such files are left out.",
    )
    frequency = forms.ChoiceField(label="Frequency", choices=FREQUENCIES, required=False)
    cron = forms.CharField(
        label="Cron expression",
        required=False,
        max_length=255,
        help_text="Minute, hour, day of month, month, day of week. <code>30 2 * * 1-5</code> means "
        "02:30, Monday to Friday.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    cron_timezone = forms.ChoiceField(label="Time zone", required=False)
    run_now = forms.BooleanField(
        label="Run Now",
        required=False,
        help_text="Starts a run when you submit. Otherwise the mirror runs at its next scheduled "
        "time.",
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(
        self,
        data: FormData | None = None,
        *,
        mirror: Mirror | None = None,
        like: Mirror | None = None,
    ) -> None:
        """Of the mirror that is edited, or of a new one that is filled in like `like`."""
        self.mirror = mirror
        initial = (
            _saved_values(mirror) if mirror else _copied_values(like) if like else _default_values()
        )
        super().__init__(data, terms=_terms(mirror or like), initial=initial)
        kinds = [(kind, MirrorType(kind).label) for kind in registry.kinds()]
        self._choose("mirror_type", kinds)
        self._choose("cron_timezone", [(zone, zone) for zone in _time_zones(mirror or like)])
        if mirror:
            for name in ("mirror_mode", "mirror_type"):
                # Django then keeps the saved value, whatever is sent.
                self.fields[name].disabled = True
        for name in ("only_specs", "exclude_specs", "include_specs"):
            self.fields[name].widget.attrs["rows"] = 2
            self.fields[name].widget.attrs["aria-describedby"] = (
                f"id_{name}_helptext {name}-check id_{name}_error"
            )

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    @property
    def platforms(self) -> tuple[list[Any], list[Any]]:
        """The boxes of the platforms that most people need, and the others."""
        boxes = {str(box.data["value"]): box for box in self["subdirs"]}
        common = [boxes[name] for name in COMMON_PLATFORMS if name in boxes]
        return common, [box for name, box in boxes.items() if name not in COMMON_PLATFORMS]

    def clean_mirror_name(self) -> str:
        name: str = self.cleaned_data["mirror_name"].strip()
        # On the whole server, which the API checks, too; here the sentence stands at the field
        # before anything else is tried.
        others = Mirror.objects.filter(name=name)
        if (others.exclude(pk=self.mirror.pk) if self.mirror else others).exists():
            raise ValidationError("A mirror with this name already exists on this server.")
        return name

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        frequency = data.get("frequency") or CUSTOM
        if frequency != CUSTOM:
            data["cron"] = frequency
        elif not data.get("cron"):
            self.add_error("cron", "Enter a cron expression, or choose another frequency.")
        if data.get("only") and not data.get("only_specs") and "only_specs" not in self.errors:
            self.add_error("only_specs", "Enter at least one package, or clear the check box.")
        return data

    @property
    def kind(self) -> str:
        """The type that is chosen, whatever else is wrong with the form."""
        if self.mirror:
            return self.mirror.kind
        chosen = self.data.get("mirror_type", "") if self.is_bound else self.initial["mirror_type"]
        return str(chosen) if chosen in registry.kinds() else MirrorType.CONDA.value

    def filter_terms(self) -> dict[str, Any]:
        """The `filters` that the form means."""
        filters = {**self.filters(), "projects": []}
        if not self.cleaned_data.get("only"):
            filters["only_specs"] = []
        if self.kind != MirrorType.PYTHON:
            filters |= NO_PYTHON_FILTERS
        return filters if self.kind == MirrorType.CONDA else {**filters, **NO_CONDA_FILTERS}

    def body(self) -> MirrorBody:
        """The form as the API's body."""
        data = self.cleaned_data
        keys = (
            *("mirror_name", "source_root", "cron", "run_now", "proxy"),
            "publish_to_more_readers",
        )
        return {
            **{key: data.get(key) for key in keys},
            "cron_timezone": data["cron_timezone"] or None,
            "mirror_mode": data["mirror_mode"],
            "mirror_type": self.kind,
            "filters": self.filter_terms(),
        }


def _default_values() -> dict[str, Any]:
    # Passive and noarch only: a first mirror that is submitted as it is takes almost no space.
    return {
        "mirror_mode": Mirror.Mode.PASSIVE.value,
        "mirror_type": registry.kinds()[0],
        "frequency": MONTHLY,
        "cron": "",
        "cron_timezone": settings.DEFAULT_CRON_TIMEZONE,
        "subdirs": ["noarch"],
    }


def _saved_values(mirror: Mirror) -> dict[str, Any]:
    presets = [value for value, _ in FREQUENCIES]
    return {
        "mirror_mode": mirror.mode,
        "mirror_type": mirror.kind,
        "mirror_name": mirror.name,
        "source_root": source_urls.redacted_url(mirror.upstream),
        "proxy": source_urls.redacted_proxy(mirror.upstream) or "",
        "publish_to_more_readers": readership.publishing_to_more_readers([mirror.pk])
        == {mirror.pk},
        "only": bool(_terms(mirror).get("only_specs")),
        "frequency": mirror.cron if mirror.cron in presets else CUSTOM,
        "cron": mirror.cron,
        "cron_timezone": mirror.cron_timezone,
        "version": mirror.version,
    }


def _copied_values(mirror: Mirror) -> dict[str, Any]:
    """The mirror's values under another name, without its credentials, which nobody may read."""
    source, proxy = (
        source_urls.redacted_url(mirror.upstream),
        source_urls.redacted_proxy(mirror.upstream) or "",
    )
    return {
        **_saved_values(mirror),
        # “_copy” takes five characters.
        "mirror_name": f"{mirror.name[: LONGEST_NAME - 5]}_copy",
        "source_root": mirror.upstream.url if source_urls.REDACTED in source else source,
        "proxy": "" if source_urls.REDACTED in proxy else proxy,
        "publish_to_more_readers": False,
        "version": None,
    }


def _terms(mirror: Mirror | None) -> dict[str, Any]:
    """The saved filter; `projects` means the same as `only_specs` and is shown there."""
    terms = dict(mirror.filter.terms) if mirror else {}
    only = [*(terms.get("only_specs") or []), *(terms.pop("projects", None) or [])]
    return {**terms, "only_specs": list(dict.fromkeys(only))} if mirror else terms


def _time_zones(mirror: Mirror | None) -> list[str]:
    # Zones that are in use stay choices, whatever they are called.
    own = {settings.DEFAULT_CRON_TIMEZONE, *([mirror.cron_timezone] if mirror else [])}
    # Not Etc/GMT+5, which is five hours *west* of Greenwich (POSIX turns the sign), and no
    # abbreviations such as EST, which know no daylight saving time.
    regional = {
        zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/")
    }
    return ["UTC", *sorted((regional | own) - {"UTC", "posixrules"})]
