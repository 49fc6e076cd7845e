"""Tokens of five seconds, calls for half a minute in each family (`make soak`: five): none fails, by each way of delivery."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest

from tests.delivery.desk import Desk, ask, told
from tests.project import Project

SECONDS = float(os.environ.get("MCPWRAP_SOAK_S", "30"))
"""How long the calls go on."""

TTL_S = 5
WAYS = ("env", "file", "helper", "meta")


def calls(desk: Desk, way: str, *, stateless: bool) -> tuple[int, set[str], set[int]]:
    """Call until the time is over; how many calls, which tokens and which processes there were."""
    tokens: set[str] = set()
    pids: set[int] = set()
    with desk.shim() as shim:
        if not stateless:
            shim.open()
        # (a call every twentieth of a second; each `helper` call starts a program)
        pause = threading.Event()
        until = time.monotonic() + SECONDS
        id_ = 0
        while time.monotonic() < until:
            id_ += 1
            found = told(ask(shim, id_, way, stateless=stateless))
            tokens.add(found["claims"]["jti"])
            pids.add(found["pid"])
            pause.wait(0.5 if way == "helper" else 0.05)
        notices = [m for m in shim.messages if "method" in m]
        assert notices == [], "the client notices nothing"
    return id_, tokens, pids


@pytest.mark.parametrize("stateless", [False, True], ids=["legacy", "modern"])
def test_no_call_fails_while_tokens_of_five_seconds_come_and_go(make_project: Callable[[], Project], stateless: bool) -> None:
    desks = {way: Desk(make_project()) for way in WAYS}
    found: dict[str, tuple[int, set[str], set[int]]] = {}
    failures: list[BaseException] = []

    def run(way: str, desk: Desk) -> None:
        try:
            found[way] = calls(desk, way, stateless=stateless)
        except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread
            error.add_note(way)
            failures.append(error)

    for way, desk in desks.items():
        desk.define(desk.minted(way, TTL_S))
    threads = [threading.Thread(target=run, args=each) for each in desks.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    for way, (count, tokens, pids) in found.items():
        print(f"{way}: {count} calls, {len(tokens)} tokens, {len(pids)} processes")
        assert len(tokens) >= SECONDS / TTL_S / 2, way
        assert (len(pids) > 1) == (way == "env"), way
