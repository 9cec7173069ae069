"""The egress policy: rows A01 and A02."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from ecosystems.upstream import EgressPolicy, EgressRefused, UpstreamError

PUBLIC = "93.184.216.34"
INNER = [
    "127.0.0.1",
    "10.1.2.3",
    "192.168.0.9",
    "100.64.0.1",
    "::1",
    "fd00::7",
    "2002:7f00:1::",
    "64:ff9b::a00:1",
]
NEVER = [
    "169.254.169.254",
    "fe80::1",
    "224.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "100.100.100.200",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
]


def answers(*texts: str):
    def resolve(_host: str, _port: int) -> Sequence[str]:
        return texts

    return resolve


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("https://conda.example.org", "https://conda.example.org/a"),
        ("https://conda.example.org", "HTTPS://Conda.Example.Org:443/a"),
        ("https://conda.example.org", "https://conda.example.org./a"),
        ("http://repo.corp:8080", "http://repo.corp:8080"),
        ("http://repo.corp:*", "http://repo.corp:9/x?y"),
        ("https://*.example.org", "https://a.b.example.org/"),
        ("http://127.0.0.1:*", "http://127.0.0.1:4242/"),
        ("http://[::1]:*", "http://[0:0::1]:4242/"),
        ("http://localhost", "http://localhost./"),
    ],
)
def test_a_pattern_allows_what_it_names(pattern: str, url: str):
    EgressPolicy([pattern]).check(url)


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("https://conda.example.org", "http://conda.example.org/"),
        ("https://conda.example.org", "https://conda.example.org:8443/"),
        ("https://conda.example.org", "https://conda.example.org.evil.test/"),
        ("https://conda.example.org", "https://evil.test/conda.example.org"),
        ("https://conda.example.org", "https://conda.example.org@evil.test/"),
        ("https://conda.example.org", "https://user:pw@conda.example.org/"),
        ("https://conda.example.org", "https://evil.test\\@conda.example.org/"),
        ("https://conda.example.org", "https://conda.example.org%00.evil.test/"),
        ("https://*.example.org", "https://example.org/"),
        ("https://*.example.org", "https://evilexample.org/"),
        ("http://repo.corp:*", "http://repo.corp:0/"),
    ],
)
def test_a_pattern_allows_nothing_else(pattern: str, url: str):
    with pytest.raises(EgressRefused):
        EgressPolicy([pattern]).check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[fe80::1%25eth0]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/",
        "http://localhost./",
        "http://LOCALHOST:80/",
        "http://user@localhost/",
        "file:///etc/passwd",
        "ftp://conda.example.org/",
        "gopher://127.0.0.1:70/",
        "//conda.example.org/",
        "conda.example.org",
        "http://",
        "http:///x",
        "",
        "http://１２７.0.0.1/",
    ],
)
def test_A01_addresses_inside_are_refused_in_every_spelling_with_one_message(url: str):
    with pytest.raises(
        EgressRefused, match=r"^This server may not fetch from .*UPSTREAM_ALLOW"
    ) as error:
        EgressPolicy(["https://conda.example.org", "http://*.example.org:*"]).check(url)
    assert isinstance(error.value, UpstreamError)
    assert error.value.permanent


@pytest.mark.parametrize(
    "spelling", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]"]
)
def test_A01_an_odd_spelling_is_refused_even_where_the_address_is_allowed(spelling: str):
    with pytest.raises(EgressRefused):
        EgressPolicy(["http://127.0.0.1:*"]).check(f"http://{spelling}:8000/")


def test_A01_a_refusal_reads_the_same_whether_the_name_or_its_address_is_refused():
    policy = EgressPolicy(["https://*.example.org"], answers("10.0.0.1"))
    with pytest.raises(EgressRefused) as inside:
        policy.addresses("a.example.org", 443)
    with pytest.raises(EgressRefused) as unknown:
        policy.check("https://a.example.net")
    assert inside.value.message.replace(".org", ".net") == unknown.value.message


@pytest.mark.parametrize("address", INNER + NEVER)
def test_A01_a_wildcard_never_leads_to_an_address_inside(address: str):
    with pytest.raises(EgressRefused):
        EgressPolicy(["https://*.example.org"], answers(address)).addresses("a.example.org", 443)


@pytest.mark.parametrize("address", INNER)
def test_A01_a_host_named_exactly_is_refused_where_its_name_leads_inside(address: str, caplog):
    """Whoever controls the name would choose what this server asks."""
    with pytest.raises(EgressRefused):
        EgressPolicy(["https://a.example.org"], answers(address)).addresses("a.example.org", 443)
    assert f"a.example.org stands for {address}" in caplog.text


@pytest.mark.parametrize("address", INNER)
@pytest.mark.parametrize("pattern", ["https://a.example.org={}", "https://*.example.org={}"])
def test_a_name_may_be_inside_the_network_that_its_pattern_names(address: str, pattern: str):
    policy = EgressPolicy([pattern.format(address)], answers(address))
    assert [sockaddr[0] for _, sockaddr in policy.addresses("a.example.org", 443)] == [address]


def test_a_network_belongs_to_its_own_pattern_only():
    allow = ["https://a.example.org=10.0.0.0/8", "https://b.example.org"]
    policy = EgressPolicy(allow, answers("10.1.2.3"))
    assert policy.addresses("a.example.org", 443)
    with pytest.raises(EgressRefused):
        policy.addresses("b.example.org", 443)
    with pytest.raises(EgressRefused):
        EgressPolicy(allow, answers("192.168.0.9")).addresses("a.example.org", 443)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_localhost_stands_for_loopback_and_for_nothing_else_inside(address: str):
    allow = ["http://localhost:*", "http://a.localhost:*"]
    for name in ("localhost", "a.localhost"):
        assert EgressPolicy(allow, answers(address)).addresses(name, 80, scheme="http")
        with pytest.raises(EgressRefused):
            EgressPolicy(allow, answers("10.0.0.1")).addresses(name, 80, scheme="http")


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize(
    "pattern", ["https://a.example.org", "https://a.example.org=0.0.0.0/0", "https://a.example.org=::/0"]
)  # fmt: skip
def test_A02_a_host_named_exactly_never_leads_to_metadata_or_multicast(address: str, pattern: str):
    with pytest.raises(EgressRefused):
        EgressPolicy([pattern], answers(address)).addresses("a.example.org", 443)


def test_A02_one_bad_address_among_good_ones_refuses_the_name():
    policy = EgressPolicy(["https://*.example.org"], answers(PUBLIC, "127.0.0.1"))
    with pytest.raises(EgressRefused):
        policy.addresses("a.example.org", 443)


def test_A02_the_checked_addresses_are_the_ones_given_back_after_one_look_up():
    asked = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return [PUBLIC, "2606:2800:220:1::1"]

    found = EgressPolicy(["https://a.example.org"], resolve).addresses("A.example.org.", 443)
    assert found == [
        (socket.AF_INET, (PUBLIC, 443)),
        (socket.AF_INET6, ("2606:2800:220:1::1", 443, 0, 0)),
    ]
    assert asked == [("a.example.org", 443)]


def test_an_address_literal_is_not_looked_up():
    def resolve(_host: str, _port: int) -> Sequence[str]:
        raise AssertionError

    policy = EgressPolicy(["http://127.0.0.1:8000"], resolve)
    assert policy.addresses("127.0.0.1", 8000, scheme="http") == [
        (socket.AF_INET, ("127.0.0.1", 8000))
    ]


def test_a_metadata_address_needs_a_pattern_with_exactly_this_address():
    policy = EgressPolicy(["http://169.254.169.254"])
    policy.check("http://169.254.169.254/x")
    assert policy.addresses("169.254.169.254", 80, scheme="http")


@pytest.mark.parametrize(
    "pattern",
    ["", "conda.example.org", "ftp://a.b", "https://", "https://a.b/path", "https://a.b/", "https://*",
     "https://a.*.b", "https://u:p@a.b", "https://a.b:0", "https://a.b:70000", "https://a.b:x", "http://127.1",
     "http://*.127.0.0.1", "https://a b", "https://a.b=", "https://a.b=10.0.0.1/8", "https://a.b=corp"],
)  # fmt: skip
def test_a_pattern_that_is_none_is_refused_with_a_sentence(pattern: str):
    with pytest.raises(ValueError, match="is not an address pattern"):
        EgressPolicy([pattern])
