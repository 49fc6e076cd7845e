"""Hosts that only one reading of a text finds."""

from __future__ import annotations

import pytest

from mcpwrap.core.hosts import hosts_in, pattern_host, sure_host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("foo://a b@evil.example/x", "evil.example"),
        ("foo:\\a'b@evil.example/x", "evil.example"),
        ("https://ev%2eil.example/", "ev%2eil.example"),
        ("https://ev%2eil.example/", "ev.il.example"),
        ("https://evil\u3002example/", "evil.example"),
        ("https://a(b).evil.example./", "a(b).evil.example"),
        ("https://evil.example.,x/", "evil.example"),
        ("https://a(b).evil.X./", "a(b).evil.x"),
        ("https://0x1.0x2.03.4/", "1.2.3.4"),
        ("https://evil.X.,/", "evil.x"),
        ("https://STRA\u1e9eE.example/", "xn--strae-oqa.example"),
        ("https://STRA\u1e9eE.example/", "strasse.example"),
        ("https://a\u200db.example/", "xn--ab-m1t.example"),
        ("https://a\u200db.example/", "ab.example"),
        ("https://a_b.\u00e9vil.example/", "a_b.xn--vil-9la.example"),
        ("https://0x01020304/", "1.2.3.4"),
    ],
)
def test_each_reading_is_found(text: str, host: str) -> None:
    assert host in hosts_in(text)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("https:///x", {"x"}),  # browsers skip slashes
        ("https://[::1]/", {"::1", "]"}),
        ("https://1.2.3.4.0/", {"1.2.3.4.0"}),
        *((text, set()) for text in ("https://", "//", "foo:///", "https://.", "https://@/", "")),
    ],
)
def test_what_is_no_host_is_none(text: str, hosts: set[str]) -> None:
    assert set(hosts_in(text)) == hosts


def test_a_port_may_be_empty_and_an_address_may_end_in_255() -> None:
    assert sure_host("https://a.example:/x") == "a.example"
    assert sure_host("https://a.example:8/x") == "a.example"
    assert sure_host("https://1.2.3.255/") == "1.2.3.255"
    assert sure_host("https://1.2.3.256/") is None


def test_a_star_in_the_middle_of_a_pattern_is_none() -> None:
    assert pattern_host("a.*.example") is None
    assert pattern_host("*.*.example") is None
    assert pattern_host("[::1]") == "::1"
