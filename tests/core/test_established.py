from __future__ import annotations

from mcpwrap.core.catalog import KEY_LIMIT, REMEMBERED
from mcpwrap.core.established import Established


def test_what_is_kept_of_subscriptions_is_bounded_and_the_oldest_goes() -> None:
    kept = Established()
    for number in range(REMEMBERED + 1):
        kept.did("resources/subscribe", {"uri": str(number)})
    kept.did("resources/subscribe", {"uri": "x" * (KEY_LIMIT + 1)})
    assert len(kept.subscribed) == REMEMBERED
    assert "0" not in kept.subscribed


def test_a_level_that_is_none_is_not_set_again() -> None:
    kept = Established()
    for odd in (5, None, "x" * (KEY_LIMIT + 1)):
        kept.did("logging/setLevel", {"level": "info"})
        assert kept.level == {"level": "info"}
        kept.did("logging/setLevel", {"level": odd})
        assert kept.level is None


def test_a_greeting_differs_in_what_it_says_and_not_in_the_negotiation() -> None:
    kept = Established()
    said = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "x"}, "capabilities": {"tools": {"listChanged": True}}, "n": 1}
    kept.greeted("initialize", said)
    assert kept.differs("initialize", {**said, "protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}) == ""
    assert kept.differs("initialize", {**said, "n": 1.0, "instructions": None}) == "instructions, what else it says of itself"
