"""The host of a URL (POLICY.md §2): what parsers disagree about is never sure."""

import pytest

from mcpwrap.core.hosts import URL_LIMIT, host_matches, hosts_in, pattern_host, sure_host


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com/x?y#z", "example.com"),
        ("HTTPS://EXAMPLE.com", "example.com"),
        ("https://example.com:8443/", "example.com"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("http://[2001:DB8::0:1]:80/", "2001:db8::1"),
        ("http://[::1]/", "::1"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("postgresql://me:pw@db.example/x", "db.example"),
        ("git+ssh://host/x", "host"),
        ("https://a_b.example", "a_b.example"),
    ],
)
def test_the_host_of_a_plain_url_is_sure(url: str, host: str) -> None:
    assert sure_host(url) == host


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "//example.com", "https:example.com", "https:///example.com", "https:\\\\example.com\\"),
        *("https://good.com@evil.com/", "https://good.com\\@evil.com", "https://evil.com#@good.com\\", "https://a b.com/"),
        *("http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/", "http://256.0.0.1/", "http://1.2.3.4.5/"),
        *("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/"),
        *("http://[::7f00:1]/", "http://[fe80::1%25eth0]/", "http://[x]/", "http://[:::]/"),
        *("https://example.com./", "https://.example.com/", "https://a..b/", "https://-a.com/", "https://a-.com/"),
        *("https://ex%61mple.com/", "https://example.com:99999/", "https://example.com:x/", "https://exa\tmple.com/"),
        *("\nhttps://example.com", "https://example.com/\\..", "https://\u2024.com", "https://xn--a.example/"),
        *("postgresql://good.example/x?host=evil.example", "https://" + "a" * 9000, "https://" + "a." * 150 + "b"),
        *("https://fa\u00df.example/", "https://a\u200db.example/", "http://good.com?@evil.com/", "http://good.com#@evil.com/"),
        *("postgres://good/db?anything=x", "mongodb://good/?x", "sqlserver://good/x;server=evil", "redis://good#a?b"),
        *("http://\u202e.com/", "http://\uff0e\uff0e/", "http://0x/", "http://09.1/"),
    ],
)
def test_what_parsers_read_differently_is_not_sure(url: str) -> None:
    assert sure_host(url) is None


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://evil.com/x", "evil.com"),
        ("see https://evil.com.", "evil.com"),
        ("https://good.com@evil.com/", "evil.com"),
        ("https:/\\evil.com", "evil.com"),
        ("https:evil.com", "evil.com"),
        ("ht\ntps://ev\til.com", "evil.com"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://0x7f.1/", "127.0.0.1"),
        ("http://0177.1/", "127.0.0.1"),
        ("http://0x1/", "0.0.0.1"),
        ("http://[::ffff:127.0.0.1]/", "127.0.0.1"),
        ("http://[2002:7f00:1::]/", "127.0.0.1"),
        ("http://[fe80::1%eth0]/", "fe80::1"),
        ("https://ex%61mple.com/", "example.com"),
        ("https://\uff45vil\u3002com/", "evil.com"),
        ("https://B\u00dcCHER.example/", "xn--bcher-kva.example"),
        ("https://EVIL.com:443/", "evil.com"),
        ("https://evil.com./", "evil.com"),
        ("//evil.com/x", "evil.com"),
        ("\\\\evil.com\\x", "evil.com"),
        ("http:x y@evil.com ", "evil.com"),
        ('http://x"@evil.com/', "evil.com"),
        ("foo://x'@evil.com/", "evil.com"),
        ("http://good.com\\@evil.com/", "evil.com"),
        ("http://good.com#@evil.com/", "evil.com"),
        ("http://good.com?@evil.com/", "evil.com"),
        ("http://a@evil.com@good.com/", "evil.com"),
        ("http://a%40evil.com/", "evil.com"),
        ("http://evil.com%00.good.com/", "evil.com"),
        ("http://evil.com\uff0f.good.com/", "evil.com"),
        ("blob:https://evil.com/", "evil.com"),
        ("see https://a'@evil.com/", "evil.com"),
        ('see https://a"@evil.com', "evil.com"),
        ("see https://<@evil.com there", "evil.com"),
        ("see https://good.com\\@evil.com", "evil.com"),
        ("see https://a b@evil.com/ there", "evil.com"),
        ('<a href="https://a b@evil.com">', "evil.com"),
        ('<a href="https://a\n b@evil.com">', "evil.com"),
        ("url: https:a b@evil.com", "evil.com"),
        ("curl https://a\\ b@evil.com", "evil.com"),
        ('<a href="//evil.com/x">', "evil.com"),
        ('<a href="//a b@evil.com">', "evil.com"),
        ("<a href=\\/evil.com>", "evil.com"),
        ("url(//evil.com)", "evil.com"),
        ("see //evil.com, please", "evil.com"),
        ("https://a https://b'@evil.com", "evil.com"),
        ("https://evil.com' there", "evil.com"),
        ("https://good.com,https://evil.com/", "evil.com"),
        ("https://fa\u00df.example/", "xn--fa-hia.example"),
        ("https://fa\u00df.example/", "fass.example"),
        ("https://\U0001f4a9.b\u00fccher.example/", "xn--ls8h.xn--bcher-kva.example"),
        ("http://\uff12\uff11\uff13\uff10\uff17\uff10\uff16\uff14\uff13\uff13/", "127.0.0.1"),
    ],
)
def test_every_host_that_some_parser_reads_is_found_in_a_text(text: str, host: str) -> None:
    assert host in hosts_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no url",
        "http://",
        "http://[zz]/",
        "http://:80/",
        "a: b",
        "// mail x@evil.com",
        "f(); // mail x@evil.com",
        "see https://good.com/ and mail x@evil.com",
        "to: x@evil.com",
        "https://a.b/evil.com",
    ],
)
def test_texts_without_urls_have_no_hosts(text: str) -> None:
    assert "evil.com" not in hosts_in(text)


@pytest.mark.parametrize("text", [" " * 500_000 + "http://{}/", "http:" + "/" * 500_000 + "{}", "http://" + "u" * 500_000 + "@{}"])
def test_a_host_isnt_hidden_by_length(text: str) -> None:
    assert "evil.com" in hosts_in(text.format("evil.com"))
    assert "evil.com" in hosts_in(text.format("\u00ad" * 2000 + "evil.com"))


@pytest.mark.parametrize(
    "piece",
    [
        "http://a@",
        "a:",
        "a:[",
        "a@:",
        ":/\\",
        "a:\u00e9.",
        "http://a.b/ ",
        "[a:",
        "a:\U0001f4a9",
        "https:a b@",
        "//a ",
        "'//",
        "http:\\",
    ],
)
def test_a_long_text_is_gone_through_once(piece: str) -> None:
    assert "evil.com" not in hosts_in(piece * (200_000 // len(piece)))  # by its square it would take minutes


def test_a_long_word_is_gone_through_once() -> None:
    assert hosts_in("a" * 1_000_000) == ()  # by its square it would take a quarter of an hour


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://a.example:65535/", "a.example"),
        ("http://a.example:65536/", None),
        ("http://a.example:99999/", None),
        ("https://a.example/b@c", "a.example"),
        ("https://a.example?b", "a.example"),
        ("https://a.example?b@c", None),
        ("ssh://a.example", "a.example"),
        ("https://a.1b/", "a.1b"),
        ("https://B\u00dcCHER.example/", "xn--bcher-kva.example"),
        ("http://[::]/", "::"),
        ("http://[::1]/", "::1"),
        ("http://[::2]/", None),
        ("https://" + "a." * 126 + "b/", "a." * 126 + "b"),  # 253 characters
        ("https://" + "a." * 126 + "bc/", None),
        ("https://a.example/" + "x" * (URL_LIMIT - 18), "a.example"),
        ("https://a.example/" + "x" * (URL_LIMIT - 17), None),
    ],
)
def test_what_is_sure_has_its_edges(url: str, host: str | None) -> None:
    assert sure_host(url) == host


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss", "ftp", "HTTP"])
def test_a_name_before_the_host_is_never_sure_on_the_web(scheme: str) -> None:
    assert sure_host(f"{scheme}://a@b.example/") is None
    assert sure_host(f"{scheme}://b.example/;x?y") == "b.example"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://1.0x2.3/", "1.2.0.3"),
        ("http://255.255.65535/", "255.255.255.255"),
        ("http://0x.1/", "0.0.0.1"),
        ("http://1.2.3.255/", "1.2.3.255"),
    ],
)
def test_numbers_are_read_as_browsers_read_them(text: str, host: str) -> None:
    assert host in hosts_in(text)


def test_what_is_no_number_is_no_address() -> None:
    for text in ("http://0x7fg/", "http://256.1/", "http://1.2.3.4.5/"):
        assert not any(host.count(".") == 3 and host.replace(".", "").isdigit() for host in hosts_in(text))


def test_a_star_stands_for_one_label_at_least() -> None:
    assert host_matches("*.a.example", "b.a.example")
    assert host_matches("*.a.example", "c.b.a.example")
    assert not host_matches("*.a.example", "a.example")
    assert not host_matches("*.a.example", ".a.example")


def test_spaces_and_other_dots_dont_hide_a_host() -> None:
    assert "evil.example" in hosts_in("foo://a b@evil.example/x")
    assert "evil.example" in hosts_in("https://evil\u3002example/")


@pytest.mark.parametrize("number", ["1.2.3.4.5", "08.1", "256.1.1.1", "4294967296", "1.2.3.x", "1..2"])
def test_what_is_no_address_gives_none(number: str) -> None:
    assert not any(host.count(".") == 3 and host != number for host in hosts_in(f"http://{number}/"))


def test_patterns_match_whole_labels() -> None:
    assert host_matches("example.com", "example.com")
    assert host_matches("*.example.com", "a.b.example.com")
    assert host_matches("*", "anything")
    assert not host_matches("*.example.com", "example.com")
    assert not host_matches("*.example.com", "evilexample.com")
    assert not host_matches("example.com", "a.example.com")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("Example.COM", "example.com"),
        ("*.example.com", "*.example.com"),
        ("*", "*"),
        ("[::1]", "::1"),
        ("10.0.0.1", "10.0.0.1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("https://x", None),
        ("a.*.b", None),
        ("*.[::1]", None),
        ("a b", None),
        ("::ffff:127.0.0.1", None),
        ("0x7f.1", None),
    ],
)
def test_patterns_of_a_policy_are_read_like_hosts(text: str, pattern: str | None) -> None:
    assert pattern_host(text) == pattern


@pytest.mark.parametrize(
    "scheme", ["file", "FILE", "javascript", "view-source", "unix", "sqlite", "git+file", "http+unix", "sqlite+aiosqlite"]
)
def test_what_is_opened_whatever_its_host_has_no_sure_host(scheme: str) -> None:
    assert sure_host(f"{scheme}://example.com/etc/passwd") is None


@pytest.mark.parametrize("scheme", ["https", "postgresql+psycopg", "git+ssh", "redis", "chromecast"])
def test_what_is_sent_to_its_host_has_one(scheme: str) -> None:
    assert sure_host(f"{scheme}://example.com/etc/passwd") == "example.com"


@pytest.mark.parametrize(
    "scheme",
    [
        *("about", "blob", "chrome", "data", "duckdb", "ext", "file", "filesystem", "fd", "ipc", "jar", "javascript", "local"),
        *("netdoc", "npipe", "php", "pipe", "resource", "sqlite", "sqlite3", "unix", "vbscript", "view-source", "zip"),
    ],
)
def test_where_a_scheme_reads_what_lies_here_no_host_is_sure(scheme: str) -> None:
    assert sure_host(f"{scheme}://example.com/x") is None
    assert sure_host(f"git+{scheme}://example.com/x") is None
    assert sure_host(f"x{scheme}://example.com/x") == "example.com"
