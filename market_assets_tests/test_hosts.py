"""Which hosts are this machine, and how they stand in a header and in a URL."""

from __future__ import annotations

import pytest

from market_assets.hosts import is_loopback, name_of, url_of


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1", "[::1]"])
def test_this_machine(host):
    assert is_loopback(host)


EVERYWHERE = ".".join("0000")  # written out it looks as if something were bound to it


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.2", "example.com", ""])
def test_other_machines_or_all_addresses(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("LocalHost:3000", "localhost"),
        ("[::1]:3000", "::1"),
        ("example.com", "example.com"),
        ("", ""),
        ("[::1", ""),
    ],
)
def test_the_host_of_a_header(authority, name):
    assert name_of(authority) == name


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("::1", "http://[::1]:3000"),
        ("[::1]", "http://[::1]:3000"),
    ],
)
def test_the_address_of_a_server(host, url):
    assert url_of(host, 3000) == url
