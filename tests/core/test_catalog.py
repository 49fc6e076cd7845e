from __future__ import annotations

from mcpwrap.core.catalog import KEY_LIMIT, REMEMBERED, Remembered


def test_the_oldest_entry_goes_where_there_are_too_many() -> None:
    kept: Remembered[int] = Remembered(limit=2)
    kept.put("a", 1)
    kept.put("b", 2)
    kept.put("a", 3)
    kept.put("c", 4)
    assert [kept.get(key) for key in "abc"] == [3, None, 4]


def test_a_number_and_a_text_are_two_keys() -> None:
    kept: Remembered[int] = Remembered()
    kept.put(1, 1)
    assert kept.get("1") is None


def test_a_key_that_is_too_long_is_not_kept() -> None:
    kept: Remembered[int] = Remembered()
    for key in ("k" * KEY_LIMIT, "k" * (KEY_LIMIT + 1), b"k" * (KEY_LIMIT + 1)):
        kept.put(key, 1)
    assert kept.get("k" * KEY_LIMIT) == 1
    assert kept.get("k" * (KEY_LIMIT + 1)) is None
    assert kept.get(b"k" * (KEY_LIMIT + 1)) is None


def test_a_sessions_memory_is_bounded() -> None:
    kept: Remembered[int] = Remembered()
    for number in range(REMEMBERED + 10):
        kept.put(str(number), number)
    assert kept.get("9") is None
    assert kept.get("10") == 10
