"""Words that ask for a secret, and words that don't, one by one."""

from __future__ import annotations

import pytest

from mcpwrap.core.wording import asks_as_field, asks_in_prose, words


@pytest.mark.parametrize(
    "name",
    [
        *("пароль", "密码", "密碼", "パスワード", "비밀번호"),
        *("passwort", "kennwort", "contrasena", "contraseña", "senha", "wachtwoord", "parola", "haslo"),
        *("pin", "pin code", "pin number", "card pin", "your pin", "bank pin", "sim pin", "the pin", "a pin", "enter pin"),
        *("4 digit pin", "6 digit pin", "current pin", "new pin", "old pin", "cardNumber", "creditCard", "apiKey", "APIKey"),
    ],
)
def test_these_fields_take_a_secret(name: str) -> None:
    assert asks_as_field(name)


@pytest.mark.parametrize(
    "name",
    [
        *("pin board", "pinned", "map pin color"),
        *(f"{word} token" for word in ("max", "maximum", "min", "minimum", "total", "number", "num", "prompt", "completion")),
        *(f"{word} token" for word in ("input", "output", "context")),
        *(f"password {word}" for word in ("name", "ids", "count", "length", "size", "limit", "policy", "type", "kind", "format")),
        *(f"password {word}" for word in ("expiry", "ttl", "age", "manager", "path", "file", "rotation", "version", "label")),
        *(
            f"password {word}"
            for word in ("strength", "hint", "field", "reset", "change", "request", "generator", "store", "holder")
        ),
    ],
)
def test_these_fields_take_none(name: str) -> None:
    assert not asks_as_field(name)


def test_a_text_is_taken_apart_where_a_word_ends() -> None:
    assert words("apiKey") == words("api_key") == words("API key") == words("APIKey")
    assert words("naïve") == words("nai\u0308ve") == words("naive")


def test_a_token_is_a_secret_unless_it_is_a_number() -> None:
    assert asks_as_field("token")
    assert not asks_as_field("token", number=True)


def test_the_last_words_of_a_list_count_as_well() -> None:
    assert asks_in_prose("Go on with your password")
    assert asks_in_prose("Enter it.\nEnter your password")
    assert not asks_in_prose("Enter the name using password")
