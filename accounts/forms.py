"""The forms of sign-in, profile, users and roles, and what all forms look like."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts.caller import SCOPES
from accounts.models import ATTRIBUTES, LEVELS, Role, User

CHANNEL_PATH = re.compile(r"[a-z][a-z0-9_-]{0,63}(/[a-z][a-z0-9_-]{0,63})?")
DAYS = 90
"""How long a token lives when nothing else is chosen."""

CLASSES: dict[type[forms.Widget], str] = {
    forms.CheckboxInput: "form-check-input",
    # Its class would stand on what is around the boxes.
    forms.CheckboxSelectMultiple: "",
    forms.RadioSelect: "",
    forms.Select: "form-select",
    forms.SelectMultiple: "form-select",
}


class Styled(forms.Form):
    """A form whose widgets have the look of the pages."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            style = CLASSES.get(type(field.widget), "form-control")
            classes = f"{field.widget.attrs.get('class', '')} {style}".strip()
            if classes:
                field.widget.attrs["class"] = classes


class DayInput(forms.DateInput):
    """The browser's own calendar."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class Lines(forms.CharField):
    """A list of texts: one a line where no script runs, a tag field where it does."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 3, "data-tags": "", "class": "tag-field"})
        super().__init__(required=False, widget=widget, strip=True, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        return [line.strip() for line in text.splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(list(initial or []) != self.to_python(data))


class SignIn(Styled):
    username = forms.CharField(
        label="User name",
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        label="Password",
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class NewToken(Styled):
    """A token for everything its user may do, for some scopes, or for some channels."""

    name = forms.CharField(
        label="Name", max_length=200, help_text="What it is for: the build server, my laptop."
    )
    expires = forms.DateField(label="Expires", widget=DayInput(), help_text="Its last day (UTC).")
    limit = forms.ChoiceField(
        label="What it may do",
        widget=forms.RadioSelect(attrs={"class": "long"}),
        initial="read",
        choices=(
            ("read", "Read channels and download packages"),
            ("channels", "Only what is chosen for the channels below"),
            ("scopes", "The scopes chosen below"),
            ("all", "Everything I may do"),
        ),
    )
    resources = Lines(label="Channels", help_text="Like main or main/staging.")
    level = forms.ChoiceField(
        label="Level in these channels", choices=[(one, one) for one in LEVELS[1:]], required=False
    )
    scopes = forms.MultipleChoiceField(
        label="Scopes",
        required=False,
        choices=[(scope, scope) for scope in SCOPES],
        widget=forms.SelectMultiple(attrs={"data-choices": "", "size": 6}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["expires"].initial = datetime.now(UTC).date() + timedelta(days=DAYS)

    def clean_expires(self) -> Any:
        day = self.cleaned_data["expires"]
        if day < datetime.now(UTC).date():
            raise ValidationError("This day is over.")
        return day

    def clean_resources(self) -> list[str]:
        paths: list[str] = self.cleaned_data["resources"]
        for path in paths:
            if not CHANNEL_PATH.fullmatch(path):
                raise ValidationError(f"“{path}” is not the name of a channel.")
        return paths

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        named = data.get("resources") or "resources" in self.errors
        if data.get("limit") == "channels" and not named:
            self.add_error("resources", "Name at least one channel.")
        if data.get("limit") == "scopes" and not data.get("scopes"):
            self.add_error("scopes", "Choose at least one scope.")
        return data

    def limits(self) -> tuple[list[str], list[dict[str, str]]]:
        """Scopes and resources that are meant; both empty for everything."""
        limit = self.cleaned_data["limit"]
        if limit == "read":
            return ["artifact:view", "artifact:download", "channel:view", "subchannel:view"], []
        if limit == "scopes":
            return self.cleaned_data["scopes"], []
        paths = self.cleaned_data["resources"] if limit == "channels" else []
        level = self.cleaned_data["level"] or "read"
        return [], [{"channel": path, "level": level} for path in paths]


class NewPassword(Styled):
    """Change one's own password."""

    current = forms.CharField(
        label="Current password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    password = forms.CharField(
        label="New password",
        strip=False,
        help_text="At least 8 characters, and no common password.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_current(self) -> str:
        current: str = self.cleaned_data["current"]
        if not self.user.check_password(current):
            raise ValidationError("This is not your password.")
        return current

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, self.user)
        return password


class UserForm(Styled):
    """Create or change a local account; its password is made by the server."""

    username = forms.CharField(label="User name", max_length=150)
    email = forms.EmailField(label="E-mail", required=False)
    role = forms.ModelChoiceField(label="Role", queryset=Role.objects.order_by("name"))

    def __init__(self, *args: Any, user: User | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        User.username_validator(name)
        others = User.objects.filter(username__iexact=name)
        if (others.exclude(pk=self.user.pk) if self.user else others).exists():
            raise ValidationError("There is an account of this name.")
        return name


class RoleForm(Styled):
    """A role: its name and a level for each attribute."""

    name = forms.CharField(label="Name", max_length=64)

    def __init__(self, *args: Any, role: Role | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.role = role
        for attribute in ATTRIBUTES:
            self.fields[attribute] = forms.ChoiceField(
                label=attribute,
                choices=[(level, level) for level in LEVELS],
                initial=role.attributes.get(attribute, "none") if role else "none",
                widget=forms.Select(attrs={"class": "form-select"}),
            )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = Role.objects.filter(name__iexact=name)
        if (others.exclude(pk=self.role.pk) if self.role else others).exists():
            raise ValidationError("There is a role of this name.")
        return name

    def attributes(self) -> dict[str, str]:
        return {attribute: self.cleaned_data[attribute] for attribute in ATTRIBUTES}
