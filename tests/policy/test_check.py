"""The values of keys: what is checked wherever it stands."""

from __future__ import annotations

import pytest

from mcpwrap.errors import ConfigError
from mcpwrap.policy.load import load_project


def load(text: str) -> None:
    load_project(f"[servers.f]\n{text}".encode(), file="f", root="/s", home="/h")


@pytest.mark.parametrize(
    ("text", "said", "place"),
    [
        ("[[servers.f.rules]]\nallow = ['a']\nargs.x = { glob = '' }\n", "`glob` can't be empty", "f:4:12"),
        (
            "[servers.f.resources]\nallow = [{ within = '/a' }, 5]\n",
            "the elements of `allow` must be strings, not a number",
            "f:3:29",
        ),
        ("rules = [\n{ allow = ['a'] },\n5]\n", "must be a table", "f:4:1"),
        ("zzz = 1\naaa = 1\n", "unknown key `zzz`", "f:2:1"),
        ("[[servers.f.rules]]\nallow = ['a']\n[[servers.f.rules]]\nallow = ['b']\nzzz = 1\n", "unknown key `zzz`", "f:6:1"),
        ("[[servers.f.rules]]\nallow = ['a']\nargs.x = { one_of = [{}] }\n", "must be strings, numbers or truth values", "f:4:22"),
        (f"[[servers.f.rules]]\nallow = ['a']\nreason = '{'x' * 501}'\n", "is longer than 500 characters", "f:4:1"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_place(text: str, said: str, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert said in str(caught.value)
    assert caught.value.place == place


def test_a_value_that_can_be_is_read() -> None:
    load(f"[[servers.f.rules]]\nallow = ['a']\nargs.x = {{ one_of = [1.5, 1, true, 'a'] }}\nreason = '{'x' * 500}'\n")
    load("[servers.f.resources]\nallow = ['d://*', { within = '/a' }, 'e://*']\n")
