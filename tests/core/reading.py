"""Lines read by the strict parser, for its tests."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwrap.core.jsonrpc import Notification, WireError, parse

SPACES = ("", " ")
"""Without white space a line goes through the fast tier, with some through the strict one."""


def refused(line: bytes) -> WireError:
    """The error that `line` raises."""
    with pytest.raises(WireError) as raised:
        parse(line)
    return raised.value


def params_of(text: str, *, space: str = "") -> Any:
    """What a parameter `text` becomes, with its encoding."""
    message = parse(f'{{"jsonrpc":"2.0",{space}"method":"x","params":{{"a":{text}}}}}'.encode())
    assert isinstance(message, Notification)
    return message.params["a"], message.encoded[len(b'{"jsonrpc":"2.0","method":"x","params":{"a":') : -2].decode()
