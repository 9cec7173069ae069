"""Logins in addresses: row A04 as far as it needs no network."""

from __future__ import annotations

import pytest

from ecosystems.upstream import Credential, UpstreamError, redact, split_credentials


def test_A04_user_and_password_are_split_off_and_decoded():
    clean, credential = split_credentials("https://user%40corp:p%2Fw%3A1@repo.corp:8443/chan?x=1")
    assert clean == "https://repo.corp:8443/chan?x=1"
    assert credential is not None
    assert (credential.kind, credential.user, credential.secret) == ("basic", "user@corp", "p/w:1")
    assert credential.headers() == {"Authorization": "Basic dXNlckBjb3JwOnAvdzox"}


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://repo.corp/t/ab-12/chan", "https://repo.corp/chan"),
        ("https://repo.corp/api/repo/t/ab-12/chan/sub", "https://repo.corp/api/repo/chan/sub"),
        ("https://repo.corp/t/ab-12", "https://repo.corp"),
        ("https://repo.corp/t/ab-12/?q=/t/x", "https://repo.corp/?q=/t/x"),
    ],
)
def test_A04_a_path_token_is_split_off_and_put_back_in_its_place(url: str, clean: str):
    rest, credential = split_credentials(url)
    assert rest == clean
    assert credential is not None
    assert (credential.kind, credential.secret) == ("token-path", "ab-12")
    if clean.count("/") > 2:
        assert credential.address(rest) == url
    assert credential.headers() == {}


def test_a_path_token_goes_only_below_its_prefix():
    _, credential = split_credentials("https://repo.corp/api/repo/t/ab/chan")
    assert credential is not None
    assert (
        credential.address("https://repo.corp/api/repo/chan/noarch/x")
        == "https://repo.corp/api/repo/t/ab/chan/noarch/x"
    )
    assert credential.address("https://repo.corp/files/x") == "https://repo.corp/files/x"


def test_an_address_without_a_login_stays_as_it_is():
    assert split_credentials("https://repo.corp/at/x@y/") == ("https://repo.corp/at/x@y/", None)


@pytest.mark.parametrize(
    "url", ["https://u:secret@h/t/secret/c", "ftp://u:secret@h/", "https://u:secret@h:x/", "secret"]
)
def test_A04_what_cannot_be_split_is_refused_without_repeating_it(url: str):
    with pytest.raises(ValueError, match=r"\.$") as error:
        split_credentials(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "credential",
    [
        split_credentials("https://user:canary@repo.corp/chan")[1],
        split_credentials("https://repo.corp/t/canary/chan")[1],
    ],
)
def test_A04_a_credential_is_stored_whole_and_shown_as_stars(credential: Credential):
    assert Credential.load(credential.dump()) == credential
    assert "canary" not in repr(credential) + str(credential) + f"{credential}"
    assert "***" in repr(credential)
    assert credential.belongs_to("https://REPO.corp:443/x")
    assert not credential.belongs_to("http://repo.corp/x")
    assert not credential.belongs_to("https://repo.corp:444/x")
    assert not credential.belongs_to("nonsense")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:canary@h.org/x", "https://***@h.org/x"),
        ("https://h.org/t/canary/x", "https://h.org/t/***/x"),
        ("https://h.org/x?sig=canary#canary", "https://h.org/x?***"),
        ("https://u:canary@h:port/x", "***"),
        ("canary", "***"),
        ("file:///canary", "***"),
    ],
)
def test_A04_an_address_is_shown_without_its_secrets(url: str, shown: str):
    assert redact(url) == shown
    assert UpstreamError(url, "x").url == shown
