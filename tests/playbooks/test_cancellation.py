"""Cancellation and progress: only of what is in flight."""

from __future__ import annotations

import pytest

from mcpwrap.core.state import CANCELLED_KEPT, NOISE_LIMIT
from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import OPEN

CALL = '{"name": "a"}'
MODERN_CALL = '{"name": "a", @}'


@pytest.mark.parametrize("params", [CALL, MODERN_CALL])
def test_a_cancelled_calls_late_answer_is_ignored(params: str) -> None:
    book = Playbook(OPEN) if params is MODERN_CALL else handshaken(OPEN)
    book.play(f"""
        >> 1 tools/call {params}
        -> 1 tools/call {params}
        >> notifications/cancelled {{"requestId": 1, "reason": "no need"}}
        -> notifications/cancelled {{"requestId": 1, "reason": "no need"}}
        << 1 = {{"late": true}}
        !! response tools/call status=cancelled ref=r1
        << 1 = {{"later": true}}
        !! response outcome=deny why~nothing that was asked
    """)


def test_until_the_late_answer_came_the_id_of_a_cancelled_call_cannot_be_used_again() -> None:
    """The late answer would be taken for the new call's."""
    handshaken(OPEN).play(f"""
        >> 1 tools/call {CALL}
        -> 1 tools/call {CALL}
        >> notifications/cancelled {{"requestId": 1}}
        -> notifications/cancelled {{"requestId": 1}}
        >> 1 tools/call {CALL}
        !! call outcome=deny why~an id that is in flight
        << 1 ! -32000 was cancelled
        >> 1 tools/call {CALL}
        -> 1 tools/call {CALL}
    """)


@pytest.mark.parametrize("id", ["2", '"1"', "true", "null", "[1]", '"01"', "1.0"])
def test_a_cancellation_of_nothing_that_is_in_flight_is_dropped(id: str) -> None:
    handshaken(OPEN).play(f"""
        >> 1 tools/call {CALL}
        -> 1 tools/call {CALL}
        >> notifications/cancelled {{"requestId": {id}}}
        !! notification notifications/cancelled outcome=deny why~nothing that is in flight
    """)


def test_ids_that_are_texts_are_cancelled_as_well() -> None:
    handshaken(OPEN).play("""
        >> "a" ping
        -> "a" ping
        >> notifications/cancelled {"requestId": "a"}
        -> notifications/cancelled {"requestId": "a"}
        << "b" roots/list
        <- "b" roots/list
        << notifications/cancelled {"requestId": "b"}
        <- notifications/cancelled {"requestId": "b"}
    """)


def test_a_call_is_cancelled_once() -> None:
    handshaken(OPEN).play(f"""
        >> 1 tools/call {CALL}
        -> 1 tools/call {CALL}
        >> notifications/cancelled {{"requestId": 1}}
        -> notifications/cancelled {{"requestId": 1}}
        >> notifications/cancelled {{"requestId": 1}}
        !! notification outcome=deny
    """)


def test_initialize_cannot_be_cancelled() -> None:
    Playbook(OPEN).play("""
        >> 1 initialize {"protocolVersion": "2025-11-25"}
        -> 1 initialize {"protocolVersion": "2025-11-25"}
        >> notifications/cancelled {"requestId": 1}
        !! notification outcome=deny why~`initialize` can't be cancelled
        << 1 = {"protocolVersion": "2025-11-25"}
        <- 1 = {"protocolVersion": "2025-11-25"}
    """)


def test_cancelled_calls_that_are_never_answered_do_not_pile_up() -> None:
    book = handshaken(OPEN)
    for number in range(1, CANCELLED_KEPT + 3):
        book.play(f"""
            >> {number} ping
            -> {number} ping
            >> notifications/cancelled {{"requestId": {number}}}
            -> notifications/cancelled {{"requestId": {number}}}
        """)
    book.play("""
        >> 1 ping
        -> 1 ping
        >> 3 ping
        !! call outcome=deny why~an id that is in flight
    """)


def test_an_id_that_is_used_again_after_its_late_answer_is_a_call_like_any_other() -> None:
    book = handshaken(OPEN)
    book.play("""
        >> 1 ping
        -> 1 ping
        >> notifications/cancelled {"requestId": 1}
        -> notifications/cancelled {"requestId": 1}
        << 1 = {}
        >> 1 ping
        -> 1 ping
    """)
    for number in range(2, CANCELLED_KEPT + 3):
        book.play(f"""
            >> {number} ping
            -> {number} ping
            >> notifications/cancelled {{"requestId": {number}}}
            -> notifications/cancelled {{"requestId": {number}}}
        """)
    book.play("""
        << 1 = {"still": "awaited"}
        <- 1 = {"still": "awaited"}
    """)


def test_the_server_may_cancel_its_own_question_and_no_other() -> None:
    handshaken(OPEN).play("""
        >> 1 ping
        -> 1 ping
        << 5 roots/list
        <- 5 roots/list
        << notifications/cancelled {"requestId": 5}
        !! response roots/list status=cancelled direction=client ref=r1
        <- notifications/cancelled {"requestId": 5}
        << notifications/cancelled {"requestId": 5}
        << notifications/cancelled {"requestId": 1}
        << notifications/cancelled {"requestId": [1]}
        >> 5 = {"roots": []}
        !! response direction=client outcome=deny why~nothing that was asked
    """)


def test_progress_passes_while_its_call_is_in_flight_and_not_after() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a", "_meta": {"progressToken": "t", "vendor": 1}}
        -> 1 tools/call {"name": "a", "_meta": {"progressToken": "t", "vendor": 1}}
        >> 2 tools/call {"name": "a", "_meta": {"progressToken": 0}}
        -> 2 tools/call {"name": "a", "_meta": {"progressToken": 0}}
        << notifications/progress {"progressToken": "t", "progress": 1, "message": "half"}
        <- notifications/progress {"progressToken": "t", "progress": 1, "message": "half"}
        << notifications/progress {"progressToken": 0, "progress": 1}
        <- notifications/progress {"progressToken": 0, "progress": 1}
        << notifications/progress {"progressToken": "0", "progress": 1}
        !! notification notifications/progress direction=server outcome=deny why~progress of nothing
        << notifications/progress {"progressToken": false, "progress": 1}
        << notifications/progress {"progressToken": ["t"], "progress": 1}
        << notifications/progress {"progress": 1}
        << 1 = {}
        <- 1 = {}
        << notifications/progress {"progressToken": "t", "progress": 2}
        !! notification outcome=deny why~progress of nothing
    """)


def test_a_token_that_is_in_use_stays_with_its_first_call() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a", "_meta": {"progressToken": "t"}}
        -> 1 tools/call {"name": "a", "_meta": {"progressToken": "t"}}
        >> 2 tools/call {"name": "b", "_meta": {"progressToken": "t"}}
        -> 2 tools/call {"name": "b", "_meta": {"progressToken": "t"}}
        << 2 = {}
        <- 2 = {}
        << notifications/progress {"progressToken": "t", "progress": 1}
        <- notifications/progress {"progressToken": "t", "progress": 1}
        << 1 = {}
        <- 1 = {}
        << notifications/progress {"progressToken": "t", "progress": 2}
        !! notification outcome=deny
    """)


def test_a_token_lives_on_with_the_task_that_its_call_made() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a", "task": {}, "_meta": {"progressToken": "t"}}
        -> 1 tools/call {"name": "a", "task": {}, "_meta": {"progressToken": "t"}}
        << 1 = {"task": {"taskId": "k", "status": "working"}}
        <- 1 = {"task": {"taskId": "k", "status": "working"}}
        << notifications/progress {"progressToken": "t", "progress": 1}
        <- notifications/progress {"progressToken": "t", "progress": 1}
    """)


def test_the_clients_progress_passes_for_the_servers_open_question_only() -> None:
    handshaken(OPEN).play("""
        << 5 sampling/createMessage {"_meta": {"progressToken": 3}}
        <- 5 sampling/createMessage {"_meta": {"progressToken": 3}}
        >> notifications/progress {"progressToken": 3, "progress": 1}
        -> notifications/progress {"progressToken": 3, "progress": 1}
        >> notifications/progress {"progressToken": "3", "progress": 1}
        !! notification direction=client outcome=deny why~progress of nothing
        >> notifications/progress {"progress": 1}
        !! notification outcome=deny
        >> notifications/progress {"progressToken": 4, "progress": 1}
        !! notification outcome=deny
        >> notifications/progress {"progressToken": [3], "progress": 1}
        !! notification outcome=deny
        << 6 sampling/createMessage {"_meta": {"progressToken": "t"}}
        <- 6 sampling/createMessage {"_meta": {"progressToken": "t"}}
        << 7 sampling/createMessage {"_meta": {"progressToken": true}}
        <- 7 sampling/createMessage {"_meta": {"progressToken": true}}
        >> notifications/progress {"progressToken": "t", "progress": 1}
        -> notifications/progress {"progressToken": "t", "progress": 1}
        >> notifications/progress {"progressToken": true, "progress": 1}
        !! notification outcome=deny
        >> notifications/progress {"progressToken": 1, "progress": 1}
        !! notification outcome=deny
        >> 5 = {}
        -> 5 = {}
        >> notifications/progress {"progressToken": 3, "progress": 2}
        !! notification outcome=deny
    """)


@pytest.mark.parametrize(
    "line",
    [
        '<< notifications/progress {"progress": 1}',
        '>> notifications/progress {"progress": 1}',
        ">> 9 = {}",
        "<< 9 = {}",
        "<< |junk",
        "<< 5 ping",
    ],
)
def test_a_flood_of_what_is_dropped_is_recorded_by_sample(line: str) -> None:
    book = handshaken(OPEN)
    book.play("""
        << 5 ping
        <- 5 ping
    """)
    before = len(book.records)
    for _ in range(NOISE_LIMIT * 3):
        book.play(line)
    recorded = book.records[before:]
    assert len(recorded) == NOISE_LIMIT + 2
    assert recorded[-1].note == f"one of {NOISE_LIMIT * 3} refused messages"
