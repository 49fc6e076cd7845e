"""Who asks counts in the decision: claims of the login, and a new login from the next message on (POLICY.md §2)."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwrap.core.commands import Record
from mcpwrap.core.events import ClientLine, PolicyChanged
from mcpwrap.core.session import Session
from mcpwrap.core.world import World
from tests.playbooks.playbook import line_of
from tests.playbooks.test_conditions import rules

ANN = {
    "issuer": "https://login.acme.example",
    "sub": "u1",
    "email": "ann@acme.example",
    "groups": ["staff", "developers"],
    "claims": {"department": "shop", "level": 3, "address": {"country": "se"}, "none": None},
    "profile": "work",
}
LOCAL = {"issuer": "local", "sub": "ann"}

WHENS = [
    '"developers" in subject.groups',
    'subject.email.endsWith("@acme.example")',
    'subject.claims.department == "shop" && subject.claims.level >= 3',
    'subject.claims.address.country == "se"',
    'subject.profile == "work"',
]


def called(session: Session, id: int) -> str:
    """The outcome of a call, as it is recorded."""
    commands = session.handle(ClientLine(line_of(f'{id} tools/call {{"name": "a"}}'), float(id)))
    return next(command.entry.outcome for command in commands if isinstance(command, Record))


def session(effect: str, when: str, subject: dict[str, Any]) -> Session:
    open = "" if effect == "allow" else 'allow = ["*"]\n'
    made = rules(f"{open}[[servers.files.rules]]\n{effect} = [\"a\"]\nwhen = '{when}'\n")
    return Session(server="files", refs="r", rules=made, world=World(subject=subject))


@pytest.mark.parametrize("when", WHENS)
def test_a_condition_reads_what_is_known_of_who_asks(when: str) -> None:
    assert called(session("allow", when, ANN), 1) == "allow"
    assert called(session("deny", when, ANN), 1) == "deny"
    assert called(session("deny", f"!({when})", ANN), 1) == "allow"


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("subject", [LOCAL, {}])
def test_a_subject_of_whom_nothing_is_known_satisfies_no_allow_and_every_deny(when: str, subject: dict[str, Any]) -> None:
    for each in (when, f"!({when})"):
        assert called(session("allow", each, subject), 1) == "deny"
        assert called(session("deny", each, subject), 1) == "deny"


@pytest.mark.parametrize("groups", [None, [], "developers", {"developers": True}, 5])
def test_groups_of_another_kind_admit_nobody(groups: Any) -> None:
    if groups != {"developers": True}:
        assert called(session("allow", WHENS[0], {**ANN, "groups": groups}), 1) == "deny"
    assert (
        called(session("allow", '"developers" in subject.groups && size(subject.groups) == 2', {**ANN, "groups": groups}), 1)
        == "deny"
    )


def test_another_login_counts_from_the_next_message_on() -> None:
    on = session("allow", WHENS[0], LOCAL)
    known = on._state.rules
    assert known is not None
    assert called(on, 1) == "deny"
    on.handle(PolicyChanged(known, 2.0, World(subject=ANN)))
    assert called(on, 3) == "allow"
    assert called(on, 4) == "allow"
    on.handle(PolicyChanged(known, 5.0, World(subject={**ANN, "groups": ["staff"]})))
    assert called(on, 6) == "deny"


def test_what_waits_for_a_server_is_judged_for_whom_asks_when_it_is_released() -> None:
    from mcpwrap.core.events import ServerBegan

    made = session("allow", WHENS[0], LOCAL)._state.rules
    assert made is not None
    on = Session(server="files", refs="r", rules=made, world=World(subject=ANN), starting=True)
    assert not on.handle(ClientLine(line_of('1 tools/call {"name": "a"}'), 0.0))
    on.handle(PolicyChanged(made, 1.0, World(subject=LOCAL)))
    (record, *_) = on.handle(ServerBegan(2.0))
    assert isinstance(record, Record)
    assert record.entry.outcome == "deny"
