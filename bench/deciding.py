"""What a decision and reading a policy cost, by themselves: `python -m bench.deciding` prints one process's numbers as JSON.

The policy has 200 rules, 20 of them with an expression, of which 3 apply to the call.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mcpwrap.core.state import State

CALLS: Final = 5_000
"""Decisions of one kind that are timed, after a tenth of them that isn't."""

CALL: Final = {"owner": "acme", "number": 7, "text": "a line of text, as a model writes it. " * 20}

PATHS: Final = """
[[servers.s.rules]]
deny = ["write_*"]
args.path = { glob = "**/.env" }
[[servers.s.rules]]
ask = ["write_*"]
unless.path = { within = "${project}" }
"""

EXPRESSIONS: Final = """
[[servers.s.rules]]
deny = ["write_*"]
when = 'args.owner != "acme"'
[[servers.s.rules]]
deny = ["write_*"]
when = '!("developers" in subject.groups) && args.number > 100'
[[servers.s.rules]]
ask = ["*"]
when = 'tool.startsWith("delete_") || (has(args.number) && args.number > 1000)'
"""


def policy(*, applying: str) -> bytes:
    """A project file with 200 rules, of which those of `applying` have conditions and apply to the call."""
    lines = ["[servers.s]", 'command = ["s"]', 'allow = ["read_*", "write_*"]', 'deny = ["drop_*"]']
    expressions = 20 - applying.count("when = ") if applying else 0
    rest = 200 - 2 - expressions - applying.count("[[")
    for n in range(rest):
        lines += ["[[servers.s.rules]]", f'{("log", "ask", "deny")[n % 3]} = ["tool_{n}_*", "other_{n}"]']
    for n in range(expressions):
        lines += ["[[servers.s.rules]]", f'deny = ["tool_{n}_*"]', f"when = 'has(args.owner) && args.owner != \"owner{n}\"'"]
    return ("\n".join(lines) + "\n" + applying).encode()


def main() -> int:
    """Measure and print."""
    began = time.perf_counter()
    # the time of these imports is one of the numbers
    from mcpwrap.core.state import State
    from mcpwrap.core.world import World
    from mcpwrap.policy.load import load_project
    from mcpwrap.policy.merge import rules_for
    from mcpwrap.runtime.facts import FileFacts

    imported = time.perf_counter()
    found: dict[str, float] = {"policy_imports_ms": (imported - began) * 1e3}
    root = tempfile.mkdtemp(prefix="mcpwrap-bench-")
    arguments = {**CALL, "path": f"{root}/a.md"}
    for name, applying in (("plain", ""), ("expressions", EXPRESSIONS), ("paths", EXPRESSIONS + PATHS)):
        data = policy(applying=applying)
        started = time.perf_counter()
        rules = rules_for(load_project(data, file="mcpwrap.toml", root=root, home=root), "s", (), ())
        loaded = (time.perf_counter() - started) * 1e3
        if name != "paths":  # by then the environment for expressions is there
            found["load_conditions_ms" if applying else "load_plain_ms"] = loaded
        world = World(facts=FileFacts(None), subject={"sub": "me", "groups": ["developers"]}, project="shop", session="s")
        state = State("s", "r", rules, world=world)
        found[f"decision_{name}_us"] = _decisions(state, arguments)
    Path(root).rmdir()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _decisions(state: State, call: dict[str, object]) -> float:
    judge, table = state.judge, state.live.tools
    clock, taken = time.perf_counter_ns, []
    for n in range(CALLS + CALLS // 10):
        arguments = {**call, "number": n % 50}
        started = clock()
        decision = judge(table, "write_file", arguments, 0.0)
        taken.append(clock() - started)
        if decision.denied or decision.outcome:
            raise SystemExit(f"the call was to be allowed: {decision}")
    return median(taken[CALLS // 10 :]) / 1e3


if __name__ == "__main__":
    sys.exit(main())
