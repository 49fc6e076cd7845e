"""What a text may mean as a path (POLICY.md §2), by its letters alone."""

import pytest

from mcpwrap.core.paths import PATH_LIMIT, folded, inside, lexical, looks_like_path, readings, shortened


@pytest.mark.parametrize("text", ["/a/b", "a", "a/b.txt", "/a-b/c_d/e+f=g,h@i", ".env", "/x/.git/config"])
def test_a_plain_path_has_one_reading(text: str) -> None:
    assert readings(text) == (text,)


@pytest.mark.parametrize(
    "text",
    [
        *("", "~/x", "~root", "$HOME/x", "a/${x}", "a/$(x)", "%APPDATA%/x", "a\\b", "C:/x", "c:x", "//server/share"),
        *("a\0b", "a\nb", "a\x85b", "\ud800", "x" * (PATH_LIMIT + 1), "a/%5c..", "a%00", "%7e/x", "%252f%255c"),
        *("file:a", "file://host/a", "file:///a?b", "file:///a#b", "file:///%zz", "file:////server/a", "FILE://HOST/a"),
    ],
)
def test_what_readers_take_for_something_else_isnt_read(text: str) -> None:
    assert readings(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file:///a/%2e%2e/b", {"/a/%2e%2e/b", "/a/../b"}),
        ("file://localhost/a", {"/a"}),
        ("file:/a", {"/a"}),
        ("/a/%2e%2e/b", {"/a/%2e%2e/b", "/a/../b"}),
        ("/a/%252e%252e/b", {"/a/%252e%252e/b", "/a/%2e%2e/b", "/a/../b"}),
        ("/a/b.txt::$DATA", {"/a/b.txt::$DATA", "/a/b.txt"}),
        ("/a/b. ", {"/a/b. ", "/a/b"}),
        ("/a/... /b", {"/a/... /b", "/a/../b"}),
        ("/a/\u00e9", {"/a/\u00e9", "/a/e\u0301"}),
        ("/a/e\u0301", {"/a/\u00e9", "/a/e\u0301"}),
        ("/a/../b", {"/a/../b"}),
        ("/a//b/", {"/a//b/"}),
    ],
)
def test_every_reading_of_an_odd_path_is_given(text: str, expected: set[str]) -> None:
    found = readings(text)
    assert found is not None
    assert set(found) == expected
    assert len(found) == len(set(found))


def test_inside_goes_by_whole_names() -> None:
    assert inside("/data", "/data")
    assert inside("/data/x", "/data")
    assert inside("/x", "/")
    assert not inside("/data2/x", "/data")  # CVE-2025-53110
    assert not inside("/dat", "/data")


def test_a_roots_name_is_taken_whole() -> None:
    assert not inside("/dir/a", "/dirX")
    assert inside("/dir/a", "/dir/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a%25252eb", {"a%25252eb", "a%252eb", "a%2eb"}),  # decoded twice, and not three times
        ("dir:s/.env:x", {"dir:s/.env:x", "dir/.env"}),
        ("a/:b c", {"a/:b c"}),
        ("a b/fX", {"a b/fX"}),
        ("a b/f. X", {"a b/f. X"}),
    ],
)
def test_no_other_reading_is_given(text: str, expected: set[str]) -> None:
    assert set(readings(text) or ()) == expected


def test_bytes_that_are_no_text_arent_read() -> None:
    assert readings("a/%ff") is None


def test_only_the_beginning_of_a_long_text_is_a_scheme() -> None:
    dots = "./" * PATH_LIMIT
    assert shortened(dots + "file:x") == ("file:x",)
    assert shortened("file:///" + dots + "file:x") == ("file:///file:x",)


def test_folding_ignores_case_and_composition() -> None:
    assert folded("A/B.ENV") == "a/b.env"
    assert folded("E\u0301") == folded("\u00e9") == "\u00e9"
    assert folded("ß") == folded("SS") == "ss"


@pytest.mark.parametrize(
    "text", ["/a", "./a", ".env", "~/a", "file:x", "FILE:///a", "\\\\s\\x", "C:\\x", "d:/x", "a/../b", "a\\..\\b"]
)
def test_some_texts_look_like_paths(text: str) -> None:
    assert looks_like_path(text)


@pytest.mark.parametrize("text", ["a", "acme/web", "a.b", "hello world", "https://example.com/x", ""])
def test_others_dont(text: str) -> None:
    assert not looks_like_path(text)


def test_a_dot_segment_anywhere_makes_a_path() -> None:
    assert looks_like_path("a/./b")
    assert looks_like_path("a/../b")
    assert not looks_like_path("a/.../b")


def test_dots_are_taken_out_by_their_letters() -> None:
    assert lexical("a/./b//c/../d/") == "a/b/d"


def test_a_path_that_is_too_long_may_be_a_short_one() -> None:
    assert shortened("/a/../b") == ()
    assert shortened("/" + "a" * PATH_LIMIT) == ()
    assert shortened("/b" + "/a/.." * 1000) == ("/b",)
    assert shortened("FILE://localhost/b" + "/." * 3000) == ("file:///b",)
    assert shortened("file:/b" + "/." * 3000) == ("file:///b",)
    assert shortened("/b" + "%2f%2E" * 3000) == ("/b",)
    assert shortened("/b" + "%252F%252e" * 3000) == ("/b",)
    assert shortened("/b" + "%25252F" * 3000) == ()
