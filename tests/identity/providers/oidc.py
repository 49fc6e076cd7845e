"""npm `oidc-provider` on loopback: certified, with everything that a login here needs."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.parts import node, script

API = "https://api.example.com"
ISSUES = "https://issues.example.com"

_PROGRAM = Path(__file__).with_name("oidc-provider.mjs")
_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a provider is to be like. Times in seconds; `resources` has the scopes of each resource; `clients` are more clients, as
    RFC 7591 describes them. The client `mcpwrap` is there always: public, with ``http://127.0.0.1/callback``."""

    access_s: int = 300
    refresh_s: int = 86_400
    id_s: int = 300
    device_s: int = 600
    alg: str = "RS256"
    claims_by_userinfo: bool = False
    registration: bool = True
    revocation: bool = True
    resources: Mapping[str, str] = field(default_factory=lambda: {API: "repo:read repo:write", ISSUES: "issues:read"})
    clients: Sequence[Mapping[str, Any]] = ()


class Provider:
    """A running provider."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def state(self) -> dict[str, Any]:
        """What was asked of it: `requests` by path, `grants` and `refused` by kind, `refreshes` (good ones), `reused` (refresh
        tokens that were used twice), `revocations`, `registrations`."""
        return self._ask("/-/state")

    def switch(self, **switches: Any) -> None:
        """Make it misbehave, in place of what was set before; without any it behaves again.

        `late=[PATH…]` with `late_ms` does what it is asked and keeps the answer back; `down=[PATH…]` with `status`, `answer`,
        `headers`; `hangs=[PATH…]` never answers; `iss=TEXT|None` in the redirect to the client; `no_s256=True`;
        `metadata={…}` overrides what discovery says; `without=[NAME…]` takes away from it.
        """
        self._ask("/-/switch", json.dumps(switches).encode())

    def active(self, token: str) -> bool:
        """True where the refresh token or opaque access token `token` counts at the provider (RFC 7662)."""
        form = urllib.parse.urlencode({"token": token, "client_id": "mcpwrap"}).encode()
        return bool(self._ask("/token/introspection", form, "application/x-www-form-urlencoded")["active"])

    def _ask(self, path: str, data: bytes | None = None, kind: str = "application/json") -> dict[str, Any]:
        request = urllib.request.Request(self.issuer + path, data, {"Content-Type": kind})  # noqa: S310 - our own, on loopback
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=_DEADLINE_S) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def running(setup: Setup | None = None) -> Iterator[Provider]:
    """A provider as `setup` describes it; it ends with the block, and with the process that started it."""
    wanted = setup or Setup()
    config = {name: getattr(wanted, name) for name in Setup.__slots__}
    argv = [node(), str(_PROGRAM), script("oidc-provider/lib/index.js"), json.dumps(config)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the provider didn't start"
            yield Provider(json.loads(line)["issuer"])
        finally:
            process.kill()
