from __future__ import annotations

from mcpwrap.core.rules import NAME_LIMIT, Outcome
from mcpwrap.core.state import DECISIONS_KEPT, State
from tests.playbooks.policy import CLOSED, OPEN, policy


def state() -> State:
    return State("files", "r", OPEN)


def test_refs_begin_with_the_runs_own_and_never_come_twice() -> None:
    one = state()
    refs = [one.next_ref() for _ in range(40_000)]
    assert len(set(refs)) == len(refs)
    assert refs[:2] == ["r1", "r2"]
    assert refs[15] == "r10"
    assert all(ref.startswith("r") and ref.isalnum() for ref in refs)


def test_a_decision_is_kept_until_the_rules_change() -> None:
    one = state()
    first = one.decide(OPEN.tools, "a")
    other = one.decide(OPEN.tools, "b")
    assert one.decide(OPEN.tools, "a") is first
    assert one.decide(OPEN.tools, "b") is other
    assert one.decide(CLOSED.prompts, "a").denied
    one.use(CLOSED)
    assert one.decide(CLOSED.tools, "a").denied


def test_a_flood_of_names_does_not_grow_what_is_kept() -> None:
    one = state()
    first = one.decide(OPEN.tools, "a")
    for number in range(DECISIONS_KEPT):
        one.decide(OPEN.tools, str(number))
    assert one.decide(OPEN.tools, "a") is not first


def test_an_over_long_name_is_decided_and_not_kept() -> None:
    one = state()
    name = "a" * (NAME_LIMIT + 1)
    first = one.decide(OPEN.tools, name)
    assert first.outcome is Outcome.DENY
    assert one.decide(OPEN.tools, name) is not first


def test_what_a_server_may_not_ask_for_follows_the_rules() -> None:
    one = state()
    assert one.closed == ()
    one.use(policy(server_requests={"allow": ["roots", "sampling"], "ask": ["sampling"]}))
    assert set(one.closed) == {"sampling", "elicitation"}
    one.use(None)
    assert set(one.closed) == {"sampling", "elicitation", "roots"}


def test_the_clients_name_is_kept_short_and_only_where_it_is_readable() -> None:
    one = state()
    for odd in (None, "me", ["me"], 5):
        one.remember_client(odd)
    assert one.client is None
    one.remember_client({"name": "n" * 500, "version": ["1"], "secret": "x"})
    assert one.client is not None
    assert bytes(one.client) == b'{"name":"' + b"n" * 200 + b'","version":"[\'1\']"}'
    kept = one.client
    one.remember_client({"name": "n" * 500, "version": ["1"], "secret": "x"})
    assert one.client is kept


def test_to_forget_what_is_not_there_is_nothing() -> None:
    assert state().forget(1) is None
