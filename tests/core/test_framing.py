from __future__ import annotations

import pytest

from mcpwrap.core.framing import LINE_LIMIT, FramingError, LineReader


def test_whole_lines_come_out_without_their_line_feed() -> None:
    reader = LineReader()
    assert reader.feed(b"one\ntwo\r\n\nthr") == [b"one", b"two\r", b""]
    assert reader.feed(b"") == []
    assert reader.feed(b"e") == []
    assert reader.feed(b"e\nfour") == [b"three"]
    assert reader.finish() == b"four"
    assert reader.finish() == b""


def test_two_lines_in_one_read_are_two() -> None:
    assert LineReader().feed(b"a\nb\n") == [b"a", b"b"]
    assert LineReader().feed(b"\n") == [b""]
    assert LineReader().feed(b"\n\n") == [b"", b""]


def test_only_a_line_feed_ends_a_line() -> None:
    text = "a\rb\x0bc\x0cd\x85e\u2028f\u2029".encode()
    assert LineReader().feed(text + b"\n") == [text]


@pytest.mark.parametrize(
    "parts", [[b"a" * 11], [b"a" * 11 + b"\n"], [b"a" * 5, b"a" * 6], [b"a" * 5, b"a" * 6 + b"\n"], [b"ok\n" + b"a" * 11]]
)
def test_a_line_that_is_too_long_is_refused_however_it_comes(parts: list[bytes]) -> None:
    reader = LineReader(limit=10)
    with pytest.raises(FramingError, match="longer than 10 bytes"):
        for part in parts:
            reader.feed(part)


def test_a_line_of_the_limit_itself_is_read() -> None:
    reader = LineReader(limit=10)
    assert reader.feed(b"a" * 10) == []
    assert reader.feed(b"\n" + b"b" * 10 + b"\n") == [b"a" * 10, b"b" * 10]


def test_many_short_lines_are_no_long_one() -> None:
    reader = LineReader(limit=10)
    for _ in range(100):
        assert reader.feed(b"12345") == []
        assert reader.feed(b"\n") == [b"12345"]


def test_the_limit_is_64_mebibytes() -> None:
    assert LINE_LIMIT == 64 * 2**20
