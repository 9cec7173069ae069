"""From which address a request comes."""

from __future__ import annotations

import ipaddress

import pytest
from django.conf import LazySettings
from django.test import RequestFactory

from accounts.client_ip import of_client


@pytest.fixture(autouse=True)
def proxies(settings: LazySettings) -> None:
    names = ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8")
    settings.TRUSTED_PROXIES = tuple(ipaddress.ip_network(name) for name in names)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.1", None, "198.51.100.1"),
        # Nobody but a trusted proxy is believed.
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("fd00::1", "2001:db8::9", "2001:db8::9"),
        # What the client itself had written stands in front, and is not read.
        ("10.1.2.3", "127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "127.0.0.1, 203.0.113.9, 192.0.2.7", "203.0.113.9"),
        ("10.1.2.3", "10.0.0.1", "10.0.0.1"),
        ("10.1.2.3", "nonsense", "10.1.2.3"),
        ("10.1.2.3", "203.0.113.9, nonsense", "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", None, "10.1.2.3"),
        ("", "203.0.113.9", ""),
    ],
)
def test_the_address_is_that_of_whoever_the_trusted_proxies_heard(
    peer: str, forwarded: str | None, client: str
) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    assert of_client(RequestFactory(REMOTE_ADDR=peer).get("/", headers=headers)) == client


def test_nobody_is_believed_where_no_proxy_is_named(settings: LazySettings) -> None:
    settings.TRUSTED_PROXIES = ()
    request = RequestFactory(REMOTE_ADDR="127.0.0.1").get(
        "/", headers={"X-Forwarded-For": "1.2.3.4"}
    )
    assert of_client(request) == "127.0.0.1"
