"""THE table, compared with the SDK's own method maps, so that a new revision can't be missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mcp_types.methods as sdk
import pytest
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS

from mcpwrap.core.methods import ALL, BATCHING, INPUT_METHODS, LEGACY, MODERN, SPEC_METHODS, TABLE, Holds, Matched, Sender, lookup

MAPS: Mapping[tuple[Sender, bool], Mapping[tuple[str, str], Any]] = {
    ("client", False): sdk.CLIENT_REQUESTS,
    ("client", True): sdk.CLIENT_NOTIFICATIONS,
    ("server", False): sdk.SERVER_REQUESTS,
    ("server", True): sdk.SERVER_NOTIFICATIONS,
}

TASKS = "2025-11-25"
EXTRA = {
    # a probe may come before any revision is agreed
    *(("client", "server/discover", revision) for revision in LEGACY),
    # tasks of 2025-11-25
    *(("client", f"tasks/{word}", TASKS) for word in ("get", "cancel", "result", "list")),
    *(("server", f"tasks/{word}", TASKS) for word in ("get", "cancel", "result")),
    ("client", "notifications/tasks/status", TASKS),
    ("server", "notifications/tasks/status", TASKS),
    # the tasks extension of 2026-07-28
    *(("client", f"tasks/{word}", "2026-07-28") for word in ("get", "cancel", "update")),
    ("server", "notifications/tasks", "2026-07-28"),
}
"""What the table has and the SDK's maps don't."""


def test_the_revisions_are_the_sdks() -> None:
    assert tuple(KNOWN_PROTOCOL_VERSIONS) == ALL
    assert not set(LEGACY) & set(MODERN)
    assert BATCHING in LEGACY


@pytest.mark.parametrize(("sender", "is_notification"), list(MAPS))
def test_every_method_of_the_sdk_has_a_row_of_the_right_direction_and_kind(sender: Sender, is_notification: bool) -> None:
    for method, revision in MAPS[sender, is_notification]:
        row = lookup(revision, sender, method)
        assert row is not None, (revision, sender, method)
        assert row.is_notification is is_notification


def test_the_rows_that_the_sdk_does_not_have_are_exactly_these() -> None:
    ours = {(row.sender, row.name, revision) for row in TABLE for revision in row.revisions}
    theirs = {(sender, method, revision) for (sender, _), methods in MAPS.items() for method, revision in methods}
    assert ours - theirs == EXTRA
    assert theirs - ours == set()


def test_a_method_stands_once_for_a_sender_and_a_revision() -> None:
    rows = [(row.sender, row.name, revision) for row in TABLE for revision in row.revisions]
    assert len(rows) == len(set(rows))


def test_every_method_that_may_ask_for_input_is_looked_into() -> None:
    for method in sdk.INPUT_REQUIRED_METHODS:
        for revision in MODERN:
            row = lookup(revision, "client", method)
            assert row is not None
            assert row.holds is Holds.INPUT


def test_what_may_be_asked_inside_a_result_is_what_a_server_may_request() -> None:
    asked = {row.name: row.subject for row in TABLE if row.sender == "server" and row.subject and not row.is_notification}
    assert asked == INPUT_METHODS


def test_every_row_that_follows_a_permission_names_it() -> None:
    for row in TABLE:
        assert bool(row.subject) is (row.matched is Matched.SERVER_REQUEST)


def test_a_stateless_revision_has_no_requests_of_the_server() -> None:
    assert not [
        row.name for row in TABLE if row.sender == "server" and not row.is_notification and set(row.revisions) & set(MODERN)
    ]


def test_what_does_not_exist_has_no_row() -> None:
    assert lookup("2024-11-05", "client", "elicitation/create") is None
    assert lookup("2031-01-01", "client", "ping") is None
    assert lookup("2026-07-28", "client", "initialize") is None
    assert lookup("2025-03-26", "server", "elicitation/create") is None


def test_no_method_of_the_specification_can_be_an_extra_one() -> None:
    for methods in MAPS.values():
        assert {method for method, _ in methods} <= SPEC_METHODS
    assert "tasks/list" in SPEC_METHODS
