"""Which Python index is offered and allowed: pip's own, or the one that pip is told of."""

from pathlib import Path

import pytest
from pip._internal.models.index import PyPI

from ecosystems.upstream import EgressPolicy, EgressRefused
from mirrorserver import environment, pip_index


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Pip reads nothing of this machine, and what it read is forgotten."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    pip_index.python_index.cache_clear()
    yield
    pip_index.python_index.cache_clear()


def test_without_configuration_it_is_the_index_that_pip_knows():
    found = pip_index.python_index()
    assert found.url == PyPI.simple_url.rstrip("/")
    policy = EgressPolicy(found.allow)
    policy.check(f"{found.url}/numpy/")
    policy.check(f"https://{PyPI.file_storage_domain}/packages/a.whl")


@pytest.mark.parametrize(
    ("configured", "url", "allowed"),
    [
        ("https://index.example/simple/", "https://index.example/simple", True),
        ("https://me:s3cret@index.example:8443/simple", "https://index.example:8443/simple", True),
        ("http://127.0.0.1:3141/root/+simple/", "http://127.0.0.1:3141/root/+simple", False),
        ("http://localhost:3141/simple", "http://localhost:3141/simple", False),
    ],
)
def test_an_index_that_pip_is_told_of_takes_its_place(
    monkeypatch: pytest.MonkeyPatch, configured: str, url: str, allowed: bool
):
    monkeypatch.setenv("PIP_INDEX_URL", configured)
    found = pip_index.python_index()
    assert found.url == url
    assert "s3cret" not in repr(found)
    if allowed:
        EgressPolicy(found.allow).check(url)
    else:
        # A private address is fetched from only where the operator names it.
        assert found.allow == ()


def test_a_configured_folder_leaves_the_index_that_pip_knows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_INDEX_URL", "file:///opt/index/simple")
    assert pip_index.python_index().url == PyPI.simple_url.rstrip("/")


def test_the_index_is_allowed_by_default_and_others_are_not():
    policy = EgressPolicy(environment.DEFAULT_UPSTREAM_ALLOW)
    policy.check(PyPI.simple_url)
    policy.check(f"https://{PyPI.file_storage_domain}/packages/a.whl")
    with pytest.raises(EgressRefused):
        policy.check("https://index.example/simple/")
