"""What one server is to get: fetched in a process apart, delivered in its way, renewed in time (IDENTITY.md §4).

Theory of operation

* `want` says what is wanted and for whom; `fetch` starts one process apart for what is due, and the loop's reader takes its answer
  in. Nothing here waits, and nothing is done on the way of a call.
* Each way of delivery has a place: variables (`environment`, for the next start of the server), files in a private folder that are
  replaced atomically, a socket that answers whoever asks (`runtime/token_socket.py`), and ``_meta``, which the session puts in.
* At 80 % of its lifetime a credential is fetched anew. One that was delivered as a variable is a snapshot: `stale` says that the
  running server has an old one, `force_at` when it can't wait any longer for an idle moment.
* Times are the wall clock's, since that is what a token's lifetime is counted in; a laptop that slept is noticed at the next look.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Final

from mcpwrap.core.credentials import Failed, FromLogin, FromSecret, Issued, Minted, Wanted
from mcpwrap.core.redact import Known
from mcpwrap.files import reason, replace
from mcpwrap.identity.apart import GIVE_UP_S, Apart, at_work, start
from mcpwrap.identity.job import Job
from mcpwrap.identity.secrets import SecretStore, not_set
from mcpwrap.identity.signing import issuer_of, jwks_path
from mcpwrap.identity.tokens import audience
from mcpwrap.runtime import rundir
from mcpwrap.runtime.token_socket import TokenSocket

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

    from mcpwrap.identity.vault import Vault
    from mcpwrap.runtime.assess import Assessment
    from mcpwrap.secret import Secret

LOOK_S: Final = 30.0
"""How long a timer waits at most before it looks at the clock again: clocks jump, and laptops sleep."""

MARGIN: Final = 0.1
"""The part of a lifetime before its end at which a server with an old token is restarted, busy or not."""

MARGIN_S: Final = 5.0
"""The same in seconds, at most."""

SPARE_S: Final = 2.0
"""How long before its end a token of our own is minted anew at the latest, in seconds."""

SKEW_S: Final = 60.0
"""How far the clock may be behind the last answer: more means that it was put right, and every time that was noted is wrong."""

CRASH_RETRY_S: Final = 10.0
"""When it is tried again after a token's file couldn't be written."""


class Deliveries:
    """The credentials of one run's server. `server_pid` gives the server's process, 0 while none runs."""

    def __init__(self, *, shim: str, state: str, server_pid: Callable[[], int]) -> None:
        self._shim = shim
        self._state = state
        self._server_pid = server_pid
        self._found: Assessment | None = None
        self._vault: Vault | None = None
        self._wanted: dict[str, Wanted] = {}
        self._issued: dict[str, Issued] = {}
        self._looks: dict[str, tuple[tuple[int, int] | None, ...]] = {}
        """how the files of secrets looked"""
        self._outdated: set[str] = set()
        """what the running server has as a variable and must not have any more: another person's, a secret that was taken back"""
        self._times: dict[str, int] = {}
        """how often what was had was forgotten: an answer to an older question isn't taken"""
        self._asked: dict[str, int] = {}
        """the same, when the process apart was asked"""
        self._taken_at = 0.0
        """when something came in last: a clock that is before that was put right"""
        self._failed: dict[str, tuple[Failed, float]] = {}
        """what couldn't be had, and when it is tried again (infinity: when a person did something)"""
        self._delivered: dict[str, Issued] = {}
        """what the running server has as variables"""
        self._apart: Apart | None = None
        self._giving_up: TimerHandle | None = None
        self._folder = ""
        self._socket: TokenSocket | None = None
        self._loop: AbstractEventLoop | None = None
        self._timer: TimerHandle | None = None
        self._came: Callable[[list[Issued | Failed]], None] = lambda _: None

    # what is wanted

    def want(self, found: Assessment, vault: Vault | None) -> None:
        """From now on deliver what `found` wants. What was had for somebody else, or as something else, is forgotten.

        Raises:
            StateError: the places for it can't be made.
        """
        wanted = {each.name: each for each in found.wanted}
        before = self._found
        same = before is not None and before.bearer == found.bearer
        lent = same and before is not None and (before.profile, before.network) == (found.profile, found.network)
        for name in {*self._wanted, *self._issued, *self._failed}:
            each = wanted.get(name)
            if not same or self._wanted.get(name) != each or (not lent and each and isinstance(each.source, FromLogin)):
                self._forget(name)
        self._found, self._vault, self._wanted = found, vault, wanted
        self._forget_changed_secrets(found, vault)
        if any(each.via in ("file", "helper") for each in wanted.values()) and not self._folder:
            self._folder = rundir.make(self._state, self._shim)
        if any(each.via == "helper" for each in wanted.values()) and self._socket is None:
            self._socket = TokenSocket(rundir.socket_path(self._folder), self._asked_for, self._server_pid)
            if self._loop is not None:
                self._socket.attach(self._loop)

    def _forget(self, name: str) -> None:
        """What was had doesn't count from here on; calls wait until it is fetched anew."""
        self._times[name] = self._times.get(name, 0) + 1
        self._failed.pop(name, None)
        if self._issued.pop(name, None) is None:
            return
        if name in self._delivered:
            self._outdated.add(name)
        if self._folder:
            with suppress(OSError):
                os.unlink(os.path.join(self._folder, name))

    def _forget_changed_secrets(self, found: Assessment, vault: Vault | None) -> None:
        """A person may have set a secret anew, or taken it away, while the server runs."""
        for each in self._wanted.values():
            if isinstance(each.source, FromSecret) and vault is not None:
                paths = SecretStore(vault).paths(found.bearer.root, found.bearer.server, each.source.name)
                look = tuple(_look(path) for path in paths)
                if self._looks.get(each.name, look) != look:
                    self._forget(each.name)
                if not any(look):
                    # one that isn't there needn't be asked for: what was taken away counts from the next call on
                    missing = not_set(each.name, each.source.name, found.bearer.server)
                    self._forget(each.name)
                    self._failed[each.name] = (missing, float("inf"))
                self._looks[each.name] = look

    # what the server gets

    @property
    def complete(self) -> bool:
        """True where everything is there that must be before the server starts."""
        now = time()
        return all(
            each.name in self._issued and not _over(self._issued[each.name], now)
            for each in self._wanted.values()
            if each.via == "env"
        )

    def environment(self) -> dict[str, str]:
        """The variables of the server that starts now; it has them from here on."""
        found: dict[str, str] = {}
        self._delivered = {}
        self._outdated.clear()
        for each in self._wanted.values():
            match each.via:
                case "env":
                    issued = self._issued[each.name]
                    self._delivered[each.name] = issued
                    found[each.name] = issued.value.reveal()
                case "file":
                    found[f"{each.name}_FILE"] = os.path.join(self._folder, each.name)
                case "helper" | "meta":
                    pass
        if self._socket is not None:
            found["MCPWRAP_TOKEN_SOCKET"] = self._socket.path
        if self._vault is not None and self._found is not None and any(isinstance(w.source, Minted) for w in self._wanted.values()):
            bearer = self._found.bearer
            found["MCPWRAP_JWKS_FILE"] = jwks_path(self._vault.places)
            found["MCPWRAP_ISSUER"] = issuer_of(self._vault)
            found["MCPWRAP_AUDIENCE"] = audience(bearer.project, bearer.server)
        return found

    @property
    def meta(self) -> dict[str, Secret]:
        """What goes into ``_meta`` of each request, by name."""
        return {n: self._issued[n].value for n, each in self._wanted.items() if each.via == "meta" and n in self._issued}

    @property
    def known(self) -> tuple[Secret, ...]:
        """Every secret that this run holds, for redaction."""
        return tuple(dict.fromkeys(each.value for each in [*self._issued.values(), *self._delivered.values()]))

    def redacted(self, text: str) -> str:
        """`text` without any of them."""
        return Known(self.known).redacted(text)

    @property
    def stale(self) -> bool:
        """True where the running server has a variable for which there is a newer value."""
        return any(self._issued.get(name, old).value != old.value for name, old in self._delivered.items())

    @property
    def force_at(self) -> float:
        """When a server that is `stale` must be restarted, busy or not (seconds since the epoch)."""
        ends = []
        for name, old in self._delivered.items():
            new = self._issued.get(name, old)
            if new.value != old.value:
                # (a secret that was changed by a person has no end: soon)
                urgent = old.expires_at is None or name in self._outdated
                ends.append(time() if urgent else (old.expires_at or 0.0) - margin(old))
        return min(ends, default=float("inf"))

    @property
    def urgent(self) -> bool:
        """True where the running server has a variable that it must not have any more, and the right one is there."""
        return any(name in self._issued for name in self._outdated)

    @property
    def missing(self) -> Failed | None:
        """Why something that the server needs can't be had now; None while everything is there or still good."""
        now = time()
        for name, (failed, _) in self._failed.items():
            issued = self._issued.get(name)
            if issued is None or _over(issued, now):
                return failed
        return None

    @property
    def awaited(self) -> bool:
        """True while something was neither had nor failed yet."""
        return any(name not in self._issued and name not in self._failed for name in self._wanted)

    # fetching

    def fetch(self) -> None:
        """Start a process apart for what is due, if none runs."""
        now = time()
        due = tuple(each for each in self._wanted.values() if self._due_at(each.name) <= now)
        found, vault = self._found, self._vault
        if not due or self._apart is not None or found is None or vault is None:
            self._schedule()
            return
        self._asked = {each.name: self._times.get(each.name, 0) for each in due}
        self._apart = start(Job(vault.places, vault.header, vault.key, found.bearer, due, found.network, found.profile))
        if self._loop is not None:
            self._watch(self._loop, self._apart)

    def attach(self, loop: AbstractEventLoop, came: Callable[[list[Issued | Failed]], None]) -> None:
        """Take answers in on `loop` from now on; `came` is called with each."""
        self._loop, self._came = loop, came
        if self._socket is not None:
            self._socket.attach(loop)
        if self._apart is not None:
            self._watch(loop, self._apart)
        else:
            self.fetch()

    @property
    def attached(self) -> bool:
        """True once answers are taken in."""
        return self._loop is not None

    @property
    def pids(self) -> frozenset[int]:
        """The processes apart: what cleans up behind a server spares them, since they may be storing a login."""
        return at_work() if self._apart is None else at_work() | {self._apart.pid}

    def close(self) -> None:
        """End all of it. A process apart goes on until what it has is stored."""
        for timer in (self._timer, self._giving_up):
            if timer is not None:
                timer.cancel()
        if self._apart is not None:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._apart.fileno())
            self._apart.give_up()
        if self._socket is not None:
            self._socket.close()
        if self._folder:
            rundir.remove(self._folder)

    # the parts

    def _watch(self, loop: AbstractEventLoop, apart: Apart) -> None:
        fd = apart.fileno()

        def done(found: list[Issued | Failed]) -> None:
            if self._giving_up is not None:
                self._giving_up.cancel()
            self._apart = None
            self._take(found)

        def read() -> None:
            found = apart.read()
            if found is not None:
                loop.remove_reader(fd)
                done(found)

        def give_up() -> None:
            loop.remove_reader(fd)
            done(apart.give_up())

        loop.add_reader(fd, read)
        self._giving_up = loop.call_later(GIVE_UP_S, give_up)

    def _take(self, found: list[Issued | Failed]) -> None:
        now = self._taken_at = time()
        found = [each for each in found if self._still_wanted(each.name)]
        for each in found:
            if isinstance(each, Failed):
                self._failed[each.name] = (each, float("inf") if each.retry_s is None else now + each.retry_s)
                if each.retry_s is None:
                    # a person took it away, or has to do something: what was had before doesn't count any more
                    failed = self._failed[each.name]
                    self._forget(each.name)
                    self._failed[each.name] = failed
                continue
            self._failed.pop(each.name, None)
            self._issued[each.name] = each
            if self._wanted[each.name].via == "file":
                self._write(each)
        self._schedule()
        self._came(found)

    def _still_wanted(self, name: str) -> bool:
        """True where nothing changed since it was asked for."""
        return name in self._wanted and self._asked.get(name) == self._times.get(name, 0)

    def _write(self, issued: Issued) -> None:
        path = os.path.join(self._folder, issued.name)
        try:
            replace(path, issued.value.reveal().encode())
        except OSError as error:
            self._issued.pop(issued.name)
            self._failed[issued.name] = (
                Failed(issued.name, f"`{path}` can't be written: {reason(error)}", "make room on the disk", CRASH_RETRY_S),
                time() + CRASH_RETRY_S,
            )

    def _asked_for(self, name: str | None, *, within: bool) -> Issued | Failed:
        """What the socket answers; `within` says that the server's own processes ask, who may have all of it."""
        offered = [each for each in self._wanted.values() if each.via == "helper" and (within or isinstance(each.source, Minted))]
        chosen = [each for each in offered if name is None or each.name == name]
        if len(chosen) != 1:
            names = ", ".join(each.name for each in offered) or "none"
            return Failed(name or "", f"which credential? There is {names}", "mcpwrap token --server NAME --credential CREDENTIAL")
        issued = self._issued.get(chosen[0].name)
        if issued is not None and not _over(issued, time()):
            return issued
        failed = self._failed.get(chosen[0].name)
        return failed[0] if failed else Failed(chosen[0].name, "it is still being fetched", "ask again in a second", 1.0)

    def _due_at(self, name: str) -> float:
        if time() < self._taken_at - SKEW_S:
            return 0.0
        if name in self._failed:
            return self._failed[name][1]
        issued = self._issued.get(name)
        if issued is None:
            return 0.0
        if issued.renew_at is None or issued.expires_at is None:
            return float("inf")
        if isinstance(self._wanted[name].source, Minted):
            # (ours cost nobody anything: of a very short life more is left for the restart)
            return min(issued.renew_at, issued.expires_at - SPARE_S)
        return issued.renew_at

    def _schedule(self) -> None:
        if self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = min((self._due_at(name) for name in self._wanted), default=float("inf"))
        if at != float("inf"):
            self._timer = self._loop.call_later(min(max(0.0, at - time()), LOOK_S), self.fetch)


def margin(issued: Issued) -> float:
    """How long before its end a token that a server has as a variable is replaced, busy or not, in seconds."""
    if issued.expires_at is None or issued.renew_at is None:
        return MARGIN_S
    # it is renewed at four fifths of its lifetime
    return min(MARGIN_S, max(0.0, issued.expires_at - issued.renew_at) * 5 * MARGIN)


def _look(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _over(issued: Issued, now: float) -> bool:
    return issued.expires_at is not None and issued.expires_at <= now
