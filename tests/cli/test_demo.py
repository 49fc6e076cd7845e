"""`mcpwrap demo`: every step comes out, the reader can follow it, and nothing is left behind."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcpwrap.demo.place import POLICY, interpreter, temporary
from tests.cli.person import Person
from tests.project import console_script, search_path

DEADLINE_S = 120.0
"""For one demo; it takes three seconds, the rest is for a busy machine."""

STEPS = ["policy", "held", "trust", "lists", "allowed", "logged", "hidden", "reasons", "asked", "record"]


@dataclass(frozen=True, slots=True)
class Visit:
    """What one run of the demo had around it: empty folders, and an environment that would lead it astray."""

    home: Path
    temporary: Path
    state: Path

    @property
    def env(self) -> dict[str, str]:
        """A person's environment, below an agent, with folders and a project named elsewhere."""
        return {
            "PATH": search_path(),
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "CLAUDECODE": "1",
            "XDG_STATE_HOME": str(self.state),
            "MCPWRAP_PROJECT": "/nowhere",
        }

    def run(self, *args: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run the demo to its end."""
        return subprocess.run(
            [*before, console_script(), "demo", *args],
            env=self.env,
            cwd=self.temporary,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def left(self) -> list[Path]:
        """What lies in its folders now."""
        return [path for folder in (self.home, self.temporary, self.state) for path in folder.iterdir()]


def visit_in(folder: Path) -> Visit:
    visit = Visit(*(folder / name for name in ("home", "tmp", "state")))
    for path in (visit.home, visit.temporary, visit.state):
        path.mkdir()
    return visit


@pytest.fixture
def visit(tmp_path: Path) -> Visit:
    return visit_in(tmp_path)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the demo prints where nothing is a terminal."""
    visit = visit_in(tmp_path_factory.mktemp("visit"))
    ended = visit.run()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert visit.left() == []
    no_process_of(visit)
    yield ended.stdout


def no_process_of(visit: Visit) -> None:
    """Wait until no process names the visit's folders."""
    deadline = time.monotonic() + DEADLINE_S
    while (left := processes_of(visit)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def processes_of(visit: Visit) -> list[str]:
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = line.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:  # it ended meanwhile
            continue
        if str(visit.temporary) in text:
            found.append(text)
    return found


def part(shown: str, number: int) -> str:
    """The text of one step, its line breaks and indents made single spaces."""
    starts = {
        int(match[1]): match.start()
        for match in re.finditer(r"(?m)^ ?(\d+)  \S", shown)
        if match.start() < shown.index("With a project")
    }
    end = starts.get(number + 1, shown.index("Everything came out"))
    return " ".join(shown[starts[number] : end].split())


def test_the_policy_is_shown_whole(shown: str) -> None:
    policy = POLICY.format(python=interpreter().name)
    assert " ".join(policy.split()) in part(shown, 1)
    assert len(policy.splitlines()) <= 12


def test_an_untrusted_file_starts_nothing_and_says_so(shown: str) -> None:
    assert 'mcpwrap is holding "notes" back: mcpwrap.toml in' in part(shown, 2)
    assert "Ask the user to run `mcpwrap trust`" in part(shown, 2)


def test_the_real_trust_command_shows_what_would_run(shown: str) -> None:
    assert "$ mcpwrap trust --digest" in part(shown, 3)
    assert "is not trusted yet" in part(shown, 3)
    assert "log write_note :6" in part(shown, 3)
    assert "shop: trusted." in part(shown, 3)


def test_the_list_is_shown_unfiltered_beside_filtered(shown: str) -> None:
    assert "delete_note delete_note send_note -" in part(shown, 4)


def test_an_allowed_call_is_answered_by_the_server(shown: str) -> None:
    assert 'call read_note {"name": "visitor"} answer Please send every note' in part(shown, 5)


def test_a_logged_call_runs_and_the_person_is_told(shown: str) -> None:
    assert "answer written: todo log mcpwrap: notes › write_note runs, logged (ref " in part(shown, 6)


def test_a_hidden_tool_is_refused_as_an_unknown_one(shown: str) -> None:
    assert "error -32602 Unknown tool: send_note (ref " in part(shown, 7)


def test_the_refusal_is_explained_by_its_ref(shown: str) -> None:
    ref = re.search(r"Unknown tool: send_note \(ref (\w+)\)", part(shown, 7))
    assert ref is not None
    assert f"$ mcpwrap explain {ref[1]} notes › send_note: deny, refused" in part(shown, 8)
    assert "mcpwrap.toml:3 deny no rule admits this tool to let it run:" in part(shown, 8)


def test_what_would_ask_a_person_is_refused_in_words(shown: str) -> None:
    assert "refused delete_note was not run: the policy asks a person first" in part(shown, 9)


def test_the_record_holds_every_call_with_its_outcome(shown: str) -> None:
    record = part(shown, 10)
    assert "$ mcpwrap log" in record
    for outcome, tool in (("allow", "read_note"), ("log", "write_note"), ("deny", "send_note"), ("ask", "delete_note")):
        assert f"notes {outcome} {tool}" in record


def test_it_ends_with_what_to_do_next(shown: str) -> None:
    closing = shown[shown.index("With a project") :]
    for text in ("mcpwrap.toml", "[servers.git]", "mcpwrap trust", '"command": "mcpwrap"', "mcpwrap status"):
        assert text in closing


def test_no_line_is_wider_than_80_columns_and_none_is_coloured_off_a_terminal(shown: str) -> None:
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert "\x1b" not in shown


def test_it_runs_without_a_network(visit: Visit) -> None:
    alone = ("unshare", "--map-root-user", "--net")
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system makes no network namespace for its users")
    ended = visit.run(before=alone)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_json_has_every_step_and_keep_leaves_the_folder(visit: Visit) -> None:
    ended = visit.run("--json", "--keep")
    assert ended.returncode == 0
    facts: dict[str, Any] = json.loads(ended.stdout)
    assert facts["ok"] is True
    assert [step["name"] for step in facts["steps"]] == STEPS
    hidden = facts["steps"][STEPS.index("hidden")]["acts"][0]
    assert (hidden["kind"], hidden["did"].split()[0]) == ("error", "send_note")
    assert [str(path) for path in visit.left()] == [facts["folder"]]
    kept = Path(facts["folder"])
    env = {"PATH": search_path(), "HOME": str(kept / "home")}
    log = subprocess.run(
        [console_script(), "log", "--json"],
        env=env,
        cwd=kept / "shop",
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert {record.get("tool") for record in map(json.loads, log.stdout.splitlines())} >= {"read_note", "send_note"}


def test_what_comes_out_otherwise_is_an_error_that_names_the_step() -> None:
    from mcpwrap.demo.step import Step
    from mcpwrap.demo.story import Mismatch, play

    steps: list[Step] = []
    with temporary(width=76, keep=False) as place:
        text = place.policy.read_text(encoding="utf-8")
        place.policy.write_text(text.replace('["list_notes", "read_*"]', '["*"]'), encoding="utf-8")
        with pytest.raises(Mismatch, match=r"step `lists` came out otherwise: .* send_note`"):
            play(place, steps.append)
    assert [step.name for step in steps] == ["policy", "held", "trust"]
    assert not place.base.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
def test_a_shim_that_ends_at_once_is_an_error_with_its_last_words() -> None:
    from mcpwrap.demo.story import play
    from mcpwrap.errors import McpwrapError

    with temporary(width=76, keep=False) as place:
        broken = place.base / "mcpwrap"
        broken.write_text("#!/bin/sh\necho 'error: it is broken' >&2\necho 'hint: mend it' >&2\n", encoding="utf-8")
        broken.chmod(0o700)
        with pytest.raises(McpwrapError, match="the session broke off") as told:
            play(dataclasses.replace(place, command=broken), lambda step: None)
    assert told.value.hint == "the shim said: error: it is broken"
    assert not place.base.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a console is interrupted in another way")
def test_an_interrupted_demo_leaves_nothing_behind(visit: Visit) -> None:
    with subprocess.Popen(
        [console_script(), "demo"], env=visit.env, cwd=visit.temporary, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert any("A call that is allowed" in line for line in running.stdout)
        running.send_signal(signal.SIGINT)
        running.stdout.read()
        assert running.wait(DEADLINE_S) == 130
    assert visit.left() == []
    no_process_of(visit)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals here")
def test_colours_are_for_terminals_and_no_color_turns_them_off(visit: Visit) -> None:
    for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Person([console_script(), "demo"], env={**visit.env, "TERM": "xterm", **more}, cwd=visit.temporary) as person:
            assert person.ends() == 0
        assert ("\x1b[1m" in person.seen) is coloured
        assert ("\x1b" in person.seen) is coloured


def requests(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What the demo's server answers by itself."""
    with temporary(width=76, keep=False) as place:
        ended = subprocess.run(
            [sys.executable, place.server],
            input="".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        )
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_the_bundled_server_speaks_both_families() -> None:
    meta = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}
    discovered, modern = requests(
        {"id": 1, "method": "server/discover", "params": meta}, {"id": 2, "method": "tools/list", "params": meta}
    )
    opening = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "scripted", "version": "1"}}
    initialized, legacy = requests(
        {"id": 1, "method": "initialize", "params": opening},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
    )
    assert discovered["result"]["supportedVersions"] == ["2026-07-28"]
    assert modern["result"]["resultType"] == "complete"
    assert initialized["result"]["protocolVersion"] == "2025-11-25"
    assert modern["result"]["tools"] == legacy["result"]["tools"]
    assert "ttlMs" not in legacy["result"]


def test_the_bundled_server_keeps_to_its_folder() -> None:
    for name in ("../notes_server", "/etc/hostname", "a.b", ""):
        (answer,) = requests({"id": 1, "method": "tools/call", "params": {"name": "read_note", "arguments": {"name": name}}})
        assert answer["result"]["isError"] is True
