"""One rotating refresh token and many processes; those who ask are killed at any point. The provider ends a login at once when a
refresh token is used twice, and nobody may lose it one."""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from mcpwrap.core.credentials import Failed, Issued
from mcpwrap.identity import apart, locks
from mcpwrap.identity.job import Job
from mcpwrap.identity.logins import LoginStore
from mcpwrap.identity.vault import Vault
from tests.identity.installation import bearer, job, sign_in, wanted
from tests.identity.providers.oidc import ISSUES, Provider

DEADLINE_S = 60.0
LOGINS = 5

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")


def gather(asked: Sequence[apart.Apart]) -> list[Issued | Failed]:
    """All results, in the order in which they come."""
    found: list[Issued | Failed] = []
    waiting = set(asked)
    deadline = time.monotonic() + DEADLINE_S
    while waiting:
        assert time.monotonic() < deadline
        for each in select.select(list(waiting), [], [], DEADLINE_S)[0]:
            results = each.read()
            if results is not None:
                waiting.discard(each)
                found += results
    return found


def test_ten_processes_refresh_one_rotating_token_once(vault: Vault, provider: Provider) -> None:
    key = sign_in(vault, provider)
    before = provider.state()
    found = gather([apart.start(job(vault, bearer(key, server=f"s{n}"), wanted())) for n in range(10)])
    assert len(found) == 10
    assert {each.value.reveal() for each in found if isinstance(each, Issued)} != set()
    assert len({each.value.reveal() for each in found if isinstance(each, Issued)}) == 1
    assert all(isinstance(each, Issued) for each in found)
    after = provider.state()
    assert after["refreshes"] == before["refreshes"] + 1
    assert after["reused"] == before["reused"]


def test_ten_processes_that_want_two_resources_refresh_twice(vault: Vault, provider: Provider) -> None:
    key = sign_in(vault, provider)
    before = provider.state()
    both = (wanted("A"), wanted("B", ISSUES))
    found = gather([apart.start(job(vault, bearer(key), *(both if n % 2 else reversed(both)))) for n in range(10)])
    assert len([each for each in found if isinstance(each, Issued)]) == 20
    after = provider.state()
    assert (after["refreshes"], after["reused"]) == (before["refreshes"] + 2, before["reused"])


class Asker:
    """A process like a shim: it asks for tokens, and is killed."""

    def __init__(self, asked: Job) -> None:
        self._pid = os.fork()
        if self._pid == 0:
            try:
                apart.run(asked)
            finally:
                os._exit(0)

    def killed(self) -> bool:
        """Kill it; False where it had its tokens already."""
        os.kill(self._pid, signal.SIGKILL)
        return os.WIFSIGNALED(os.waitpid(self._pid, 0)[1])


@pytest.fixture
def logins(vault: Vault, provider: Provider) -> list[str]:
    """Several logins of one person: what is done to each is done beside the others."""
    return [sign_in(vault, provider, profile=f"acme{n}") for n in range(LOGINS)]


@pytest.fixture
def forgotten(vault: Vault) -> Callable[[str], None]:
    """Waits for who is at it, and takes the access tokens away, so that the next one has to refresh."""

    def forget(key: str) -> None:
        store = LoginStore(vault)
        with locks.held(vault.lock(store.item(key)), DEADLINE_S):
            store.amend(key, lambda secrets: msgspec.structs.replace(secrets, access={}))

    return forget


def refreshed_by_the_killed(
    vault: Vault,
    provider: Provider,
    logins: Sequence[str],
    forgotten: Callable[[str], None],
    rounds: int,
    points: Iterator[float],
) -> None:
    """In each round an asker per login, killed at its point; afterwards every login is as good as before."""
    before = provider.state()
    in_time, longest_s = 0, 0.0
    for _ in range(rounds):
        began = time.monotonic()
        askers = sorted(((next(points), n, Asker(job(vault, bearer(key), wanted()))) for n, key in enumerate(logins)))
        for at_s, _n, asker in askers:
            select.select([], [], [], max(0.0, began + at_s - time.monotonic()))
            in_time += asker.killed()
        died = time.monotonic()
        for key in logins:
            forgotten(key)
        longest_s = max(longest_s, time.monotonic() - died)
    print(f"{rounds * len(logins)} kills, {in_time} in time; the next one waited {longest_s:.2f} s at most")
    provider.switch()
    # those who come after: nobody is kept waiting by the dead, and no login was lost
    found = gather([apart.start(job(vault, bearer(key), wanted())) for key in logins])
    assert all(isinstance(each, Issued) for each in found), found
    after = provider.state()
    assert after["reused"] == before["reused"]
    # most of them died before they had anything, and many of those had been heard at the provider
    assert in_time > rounds * len(logins) / 2
    assert after["refreshes"] - before["refreshes"] > rounds * len(logins) / 4
    assert [card.ended for card in LoginStore(vault).cards()] == [""] * len(logins)


def test_a_login_survives_askers_that_are_killed_at_100_points(
    vault: Vault, provider: Provider, logins: list[str], forgotten: Callable[[str], None]
) -> None:
    chance = random.Random(1)  # noqa: S311 - only points in time
    points = iter(lambda: chance.uniform(0.0, 0.5), None)
    refreshed_by_the_killed(vault, provider, logins, forgotten, 20, points)


def test_a_login_survives_askers_that_are_killed_while_the_provider_takes_its_time(
    vault: Vault, provider: Provider, logins: list[str], forgotten: Callable[[str], None]
) -> None:
    provider.switch(late=["/token"], late_ms=400)
    chance = random.Random(2)  # noqa: S311 - only points in time
    points = iter(lambda: chance.uniform(0.4, 0.9), None)
    refreshed_by_the_killed(vault, provider, logins, forgotten, 6, points)


def test_who_waits_while_an_asker_is_killed_gets_its_token(vault: Vault, provider: Provider) -> None:
    key = sign_in(vault, provider)
    before = provider.state()["refreshes"]
    provider.switch(late=["/token"], late_ms=300)
    asker = Asker(job(vault, bearer(key), wanted()))
    deadline = time.monotonic() + DEADLINE_S
    while provider.state()["refreshes"] == before:
        assert time.monotonic() < deadline
    # the provider has rotated the token, and nobody has the answer yet
    asker.killed()
    found = gather([apart.start(job(vault, bearer(key), wanted())) for _ in range(3)])
    assert all(isinstance(each, Issued) for each in found)
    assert provider.state()["refreshes"] == before + 1


def test_a_worker_that_is_killed_itself_keeps_nobody_waiting(vault: Vault, provider: Provider) -> None:
    key = sign_in(vault, provider)
    provider.switch(hangs=["/token"])
    asked = apart.start(job(vault, bearer(key), wanted()))
    requests = provider.state()["requests"]["/token"]
    deadline = time.monotonic() + DEADLINE_S
    while provider.state()["requests"]["/token"] == requests:
        assert time.monotonic() < deadline
    provider.switch()
    os.kill(asked.pid, signal.SIGKILL)
    found = gather([asked])
    assert isinstance(found[0], Failed)
    assert found[0].retry_s is not None
    # (this provider never answered, so that the token is still good)
    with locks.held(vault.lock(LoginStore(vault).item(key)), 2.0):
        pass
    assert isinstance(gather([apart.start(job(vault, bearer(key), wanted()))])[0], Issued)


def test_a_logout_is_not_kept_waiting_by_a_refresh_and_not_undone_by_it(vault: Vault, provider: Provider) -> None:
    key = sign_in(vault, provider)
    before = provider.state()
    provider.switch(late=["/token"], late_ms=400)
    asked = apart.start(job(vault, bearer(key), wanted()))
    deadline = time.monotonic() + DEADLINE_S
    while provider.state()["refreshes"] == before["refreshes"]:
        assert time.monotonic() < deadline
    assert LoginStore(vault).remove(key)
    assert asked.read() is None
    found = gather([asked])
    assert isinstance(found[0], Failed)
    assert found[0].hint == "mcpwrap login acme"
    assert LoginStore(vault).card(key) is None
    assert not Path(vault.path(LoginStore(vault).item(key))).exists()
    assert provider.state()["revocations"] == before["revocations"] + 1
