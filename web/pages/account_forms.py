"""The forms of sign-in, profile, users and roles, and what all forms look like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, ClassVar, TypeAlias

from allauth.account.forms import ChangePasswordForm, LoginForm
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator

from accounts import tokens
from accounts.models import Role, User
from accounts.permissions import Attribute, Level, Scope

# One slash at most: channels nest one level.
CHANNEL_PATH = re.compile(r"[a-z][a-z0-9_-]{0,63}(/[a-z][a-z0-9_-]{0,63})?")
# Longer texts are refused before they reach the password hasher: a body may have megabytes.
MAX_PASSWORD_LENGTH = 1000

WIDGET_CLASSES: dict[type[forms.Widget], str] = {
    forms.CheckboxInput: "form-check-input",
    # Django puts the class of these two on the element around the boxes, not on the boxes.
    forms.CheckboxSelectMultiple: "",
    forms.RadioSelect: "",
    forms.Select: "form-select",
    forms.SelectMultiple: "form-select",
}


FormData: TypeAlias = Mapping[str, object]
"""What is submitted: `request.POST`."""


class StyledForm(forms.Form):
    """A form whose widgets have the look of the pages."""

    def __init__(
        self, data: FormData | None = None, *, initial: dict[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=initial)
        style(self)


class DateInput(forms.DateInput):
    """The browser's own calendar."""

    input_type = "date"

    def __init__(self) -> None:
        # HTML fixes this format (ISO 8601) for the value, whatever the browser shows.
        super().__init__(format="%Y-%m-%d")


class LinesField(forms.CharField):
    """A list of texts: one a line where no script runs, a tag field where it does."""

    widget = forms.Textarea

    def __init__(self, *, label: str, help_text: str) -> None:
        widget = forms.Textarea(attrs={"rows": 3, "data-tags": "", "class": "tag-field"})
        super().__init__(
            required=False, widget=widget, strip=True, label=label, help_text=help_text
        )

    def prepare_value(self, value: object) -> object:
        # A list where the form shows saved entries, the text as typed where it is shown again.
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: object) -> Any:
        """A list of texts, which the base class does not foresee."""
        text = super().to_python(value) or ""
        return [line.strip() for line in text.splitlines() if line.strip()]

    def has_changed(self, initial: Sequence[str] | None, data: object) -> bool:
        return bool(list(initial or []) != self.to_python(data))


def style(form: forms.Form) -> None:
    """Give the widgets of a form the look of the pages."""
    form.label_suffix = ""
    for field in form.fields.values():
        # allauth repeats the label as a placeholder, which goes away when typing begins.
        field.widget.attrs.pop("placeholder", None)
        kind = WIDGET_CLASSES.get(type(field.widget), "form-control")
        classes = f"{field.widget.attrs.get('class', '')} {kind}".strip()
        if classes:
            field.widget.attrs["class"] = classes


class RenamedForm(forms.Form):
    """A form of a library whose fields have the names and words of this product."""

    NAMES: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """The library's name of a field: the name in the page, and its label."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in list(self.fields):
            if name not in self.NAMES:
                # allauth's “Remember me” and its repetition of a new password.
                del self.fields[name]
                continue
            self.fields[name].label = self.NAMES[name][1]
        style(self)

    def add_prefix(self, field_name: str) -> str:
        """The name that the field has in the page."""
        return self.NAMES[field_name][0] if field_name in self.NAMES else field_name


class SignInForm(RenamedForm, LoginForm):  # type: ignore[misc]
    """User name and password."""

    NAMES = {"login": ("username", "User name"), "password": ("password", "Password")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].widget.attrs["autofocus"] = True
        self.fields["password"].help_text = ""
        self.fields["password"].max_length = MAX_PASSWORD_LENGTH  # type: ignore[attr-defined]
        self.fields["password"].validators.append(MaxLengthValidator(MAX_PASSWORD_LENGTH))


class NewPasswordForm(RenamedForm, ChangePasswordForm):  # type: ignore[misc]
    """Change one's own password."""

    NAMES = {
        "oldpassword": ("current", "Current password"),
        "password1": ("password", "New password"),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oldpassword"].help_text = ""
        self.fields["password1"].help_text = (
            f"At least {settings.MIN_PASSWORD_LENGTH} characters. No common password, and nothing "
            "like your name or the product’s."
        )
        for field in self.fields.values():
            field.validators.append(MaxLengthValidator(MAX_PASSWORD_LENGTH))


class TokenForm(StyledForm):
    """A token for everything its user may do, for some scopes, or for some channels."""

    name = forms.CharField(
        label="Name",
        max_length=200,
        help_text="What you use it for, for example build server or my laptop.",
    )
    expires = forms.DateField(
        label="Expires", widget=DateInput(), help_text="The last day it is valid (UTC)."
    )
    limit = forms.ChoiceField(
        label="Permissions",
        widget=forms.RadioSelect(attrs={"class": "long"}),
        initial="read",
        choices=(
            ("read", "Read channels and download packages"),
            ("channels", "Only the channels below"),
            ("scopes", "Only the scopes below"),
            ("all", "Everything my role allows"),
        ),
    )
    resources = LinesField(label="Channels", help_text="For example main or main/staging.")
    level = forms.ChoiceField(
        label="Level in these channels",
        choices=[(level, level) for level in Level if level != Level.NONE],
        required=False,
    )
    scopes = forms.MultipleChoiceField(
        label="Scopes",
        required=False,
        choices=[(scope, scope) for scope in Scope],
        widget=forms.SelectMultiple(attrs={"data-choices": "", "size": 6}),
    )

    def __init__(
        self, data: FormData | None = None, *, initial: dict[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=initial)
        # Here and not in the class body: a class is read once, and these days move.
        self.fields["expires"].initial = tokens.usual_expiry()
        latest = tokens.latest_expiry()
        self.fields[
            "expires"
        ].help_text = f"The last day it is valid (UTC), at most {latest:%Y-%m-%d}."
        self.fields["expires"].widget.attrs["max"] = f"{latest:%Y-%m-%d}"

    def clean_expires(self) -> date:
        day: date = self.cleaned_data["expires"]
        tokens.check_expiry(day)
        return day

    def clean_resources(self) -> list[str]:
        paths: list[str] = self.cleaned_data["resources"]
        for path in paths:
            if not CHANNEL_PATH.fullmatch(path):
                raise ValidationError(f"“{path}” is not a channel name.")
        return paths

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        # Entries that were refused have their own sentence; “at least one” would be wrong there.
        has_channels = data.get("resources") or "resources" in self.errors
        if data.get("limit") == "channels" and not has_channels:
            self.add_error("resources", "Enter at least one channel.")
        if data.get("limit") == "scopes" and not data.get("scopes"):
            self.add_error("scopes", "Choose at least one scope.")
        return data

    def limits(self) -> tuple[list[str], list[dict[str, str]]]:
        """Scopes and resources that are meant; both empty for everything."""
        limit = self.cleaned_data["limit"]
        if limit == "read":
            # All that clients need, and nothing that shows or changes a mirror or a setting.
            return [
                Scope.ARTIFACT_VIEW,
                Scope.ARTIFACT_DOWNLOAD,
                Scope.CHANNEL_VIEW,
                Scope.SUBCHANNEL_VIEW,
            ], []
        if limit == "scopes":
            return self.cleaned_data["scopes"], []
        paths = self.cleaned_data["resources"] if limit == "channels" else []
        level = self.cleaned_data["level"] or Level.READ
        return [], [{"channel": path, "level": level} for path in paths]


class UserForm(StyledForm):
    """Create or change a local account; its password is made by the server."""

    username = forms.CharField(label="User name", max_length=150)
    email = forms.EmailField(label="E-mail", required=False)
    role = forms.ModelChoiceField(
        label="Role", queryset=Role.objects.order_by("name"), empty_label="Choose a role"
    )

    def __init__(
        self,
        data: FormData | None = None,
        *,
        user: User | None = None,
        initial: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data, initial=initial)
        self.user = user

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        # A form of its own, not a ModelForm: the model's validator must be asked.
        User.username_validator(name)
        # Without regard to case: people would take “Admin” and “admin” for one account.
        others = User.objects.filter(username__iexact=name)
        if (others.exclude(pk=self.user.pk) if self.user else others).exists():
            raise ValidationError("An account with this name already exists.")
        return name


class RoleForm(StyledForm):
    """A role: its name and a level for each attribute."""

    name = forms.CharField(label="Name", max_length=64)

    def __init__(self, data: FormData | None = None, *, role: Role | None = None) -> None:
        super().__init__(data, initial={"name": role.name} if role else None)
        self.role = role
        for attribute in Attribute:
            self.fields[attribute] = forms.ChoiceField(
                label=attribute,
                choices=[(level, level) for level in Level],
                initial=role.attributes.get(attribute, Level.NONE) if role else Level.NONE,
                widget=forms.Select(attrs={"class": "form-select"}),
            )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = Role.objects.filter(name__iexact=name)
        if (others.exclude(pk=self.role.pk) if self.role else others).exists():
            raise ValidationError("A role with this name already exists.")
        return name

    def attributes(self) -> dict[str, str]:
        return {attribute: self.cleaned_data[attribute] for attribute in Attribute}
