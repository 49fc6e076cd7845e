"""After a test that ran the real command: `mcpwrap explain` names the right file and line for everything that was refused.

The line is looked up in the file as it was accepted, by reading it as text: nothing of mcpwrap's own parser takes part.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mcpwrap.cli.main import dispatch
from mcpwrap.core.patterns import NAME_LIMIT
from mcpwrap.policy.folders import folders
from tests.project import ACCEPTED, search_path

Record = dict[str, Any]

EXIT_DENIED = 4
CLOCK_SLACK_S = 0.05
"""File systems read a coarser clock than records."""
KINDS = {
    "tool": "",
    "resource": "resources",
    "prompt": "prompts",
    "server request": "server_requests",
    "method": "extra_methods",
}
TARGETS = ("tool", "uri", "prompt", "task")
PINS = ("mcpwrap.lock", "pins of first sight")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'')
HEADER = re.compile(r"^\s*\[\[?([^\[\]]*)\]\]?\s*(?:#.*)?$")
UNFIT = re.compile(r"^(?:longer than \d+ characters|no Unicode text)$")
POLICY_BEHIND = re.compile(r"(?:n't|not) permitted(?:$|:)|is hidden$")
SHORTENED = re.compile(r"\[redacted\]|… \(\d+ characters\)")


@dataclass(slots=True)
class Found:
    """What the check looked at: `refs` it explained, `lines` it compared with a file, `asked` again as a call, and the records that
    it left out, with the reason."""

    refs: int = 0
    lines: int = 0
    asked: int = 0
    left_out: list[str] = field(default_factory=list)


def check_refusals(home: Path) -> Found:
    """Check every refusal in every audit below `home`, alike ones once.

    Raises:
        AssertionError: `explain` fails, or names another file or line than the one that refused.
    """
    found = Found()
    for folder in sorted(path for path in home.rglob("audit") if path.is_dir() and not path.is_symlink()):
        env = {"PATH": search_path(), "HOME": str(home), "LANG": "C.UTF-8"}
        if str(folder) != str(Path(folders(env).state, "audit")):
            env["XDG_STATE_HOME"] = str(folder.parents[1])
        if str(folder) != str(Path(folders(env).state, "audit")):
            found.left_out.append(f"{folder}: no folder of records")
            continue
        for record in _distinct(folder):
            _check(record, env, home, found)
    return found


def _distinct(folder: Path) -> Iterator[Record]:
    """The refusals, one of each that differs in more than time and ids."""
    seen: set[str] = set()
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                continue
            record: Record = json.loads(line)
            if record.get("status") != "refused" or "ref" not in record:
                continue
            key = json.dumps({k: v for k, v in record.items() if k not in ("time", "seq", "ref", "request_id", "duration_ms")})
            if key not in seen:
                seen.add(key)
                yield record


def _check(record: Record, env: Mapping[str, str], home: Path, found: Found) -> None:
    code, text = _explain(env, record["ref"], "--json")
    what = json.dumps(record)[:1500]
    assert code in (0, EXIT_DENIED), f"{text}\n{what}"
    said = json.loads(text)
    found.refs += 1
    if not record.get("reasons"):
        # the end of a call that was let through; why its answer was refused is a record of its own
        assert (record["event"], code) == ("response", 0), what
        return
    assert code == (EXIT_DENIED if record["outcome"] == "deny" else 0), what
    named = [r for each in said["records"] if each.get("outcome") for r in each["reasons"]]
    assert named == record["reasons"], what
    plain_code, plain = _explain(env, record["ref"])
    assert plain_code == code, what
    content = ACCEPTED.get(record["policy_digest"])
    for reason in record["reasons"]:
        place = f"{reason['file']}:{reason['line']}" if reason["line"] else reason["file"] or "mcpwrap"
        assert re.search(rf"(?m)^  {re.escape(place)} +{reason['effect']} ", plain), f"{place} isn't in:\n{plain}"
        if reason["line"]:
            file = _content(reason["file"], content, home)
            assert file is not None, f"no content of {reason['file']} is known: {what}"
            wrong = misplaced(file, reason, record["server"])
            assert not wrong, f"{reason}: {wrong}\n{what}\n{file}"
            found.lines += 1
    if not any(reason["line"] for reason in record["reasons"]):
        _check_own(record, said, plain, content)
        return
    _check_again(record, said, env, content, found)


def _check_own(record: Record, said: Record, plain: str, content: str | None) -> None:
    """What no line of a file refused: that is said plainly; where the policy stands behind it, its file and line are."""
    text = record["reasons"][0]["text"]
    if text.startswith("the server is held back"):
        return
    today = said["today"]
    if POLICY_BEHIND.search(text):
        assert today is not None, f"the policy is behind `{text}`, and isn't named:\n{plain}"
        assert "the policy behind it says today:" in plain
        if content is not None:
            for reason in today["reasons"]:
                assert reason["line"] > 0, today
                assert not misplaced(content, reason, record["server"], behind=True), f"{reason}\n{content}"
    elif today is None:
        assert "by no rule of a file" in said["note"], said["note"]
        assert said["note"] in plain
    else:
        assert all(reason["line"] == 0 or record["reasons"][0]["file"] in PINS for reason in today["reasons"]), today


def _check_again(record: Record, said: Record, env: Mapping[str, str], content: str | None, found: Found) -> None:
    """The same question again, by its ref and as a call: the same file and line, where nothing but the question counts."""
    reasons = record["reasons"]
    if any(" is used up" in reason["text"] for reason in reasons):
        found.left_out.append("a budget")
        return
    root = Path(record["project"])
    file = root / "mcpwrap.toml"
    if content is None or not file.is_file() or file.read_text("utf-8") != content:
        found.left_out.append("its file was changed since")
        return
    today = said["today"]
    name = next((record[key] for key in TARGETS if record.get(key)), "")
    if today is None and len(name) == NAME_LIMIT:
        found.left_out.append("its name was cut")
        return
    assert today is not None, said["note"]
    if today["trust"] != "trusted":
        found.left_out.append("the trust in it was changed since")
        return
    if record["event"] == "call" and SHORTENED.search(json.dumps(record.get("arguments"), ensure_ascii=False)):
        found.left_out.append("recorded in part")
        return
    if today["reasons"] and today["reasons"][0]["file"] in PINS:
        return  # its definition is another by now
    if today["reasons"] != reasons and _touched_since(record):
        found.left_out.append("what its arguments name was changed since")
        return
    assert today["reasons"] == reasons, f"today: {today['reasons']}\nthen: {reasons}"
    arguments = record.get("arguments")
    if record["method"] != "tools/call" or not isinstance(arguments, dict):
        return
    options = ("--project", str(root), "--json")
    client = record.get("client")
    if client is not None and re.search(r"\bclient\.(?:name|version)\b", content):
        found.left_out.append("a rule on the client")
        return
    code, text = _explain(env, "explain", *options, "--", record["server"], name, json.dumps(arguments), whole=True)
    assert code == (EXIT_DENIED if record["outcome"] == "deny" else 0), text
    assert json.loads(text)["reasons"] == reasons
    found.asked += 1


def _touched_since(record: Record) -> bool:
    """True where a folder on the way to a path among its arguments was changed after it was refused."""
    when = datetime.fromisoformat(record["time"]).timestamp() - CLOCK_SLACK_S
    texts = [
        text for text in (record.get("arguments") or {}).values() if isinstance(text, str) and text.startswith(record["project"])
    ]
    ways = {folder for text in texts for folder in Path(text).parents if folder.exists()}
    return any(folder.lstat().st_ctime > when for folder in ways if folder.is_relative_to(record["project"]))


def _explain(env: Mapping[str, str], *args: str, whole: bool = False) -> tuple[int, str]:
    out, errors = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, env, clear=True), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = dispatch(list(args) if whole else ["explain", *args])
    return code, out.getvalue() + errors.getvalue()


def _content(file: str, project: str | None, home: Path) -> str | None:
    if file == "mcpwrap.toml":
        return project
    path = Path(file)
    assert path.is_absolute(), f"`{file}` is no file that a person could open"
    return path.read_text("utf-8") if path.is_file() else None


def misplaced(content: str, reason: Mapping[str, Any], server: str, *, behind: bool = False) -> str:
    """What is wrong with a reason's line, "" where that line of `content` holds what the reason quotes."""
    lines = content.splitlines()
    if not 1 <= reason["line"] <= len(lines):
        return f"there are {len(lines)} lines"
    line, text = lines[reason["line"] - 1], reason["text"]
    kind = re.match(r"^no rule admits this (.*)$", text)
    if kind or UNFIT.match(text) or text.endswith(" of this server is used up") or (behind and text.startswith("which resource ")):
        sub = "resources" if behind and not kind else KINDS[kind[1]] if kind else ""
        wanted = _header(lines, server, sub)
        if UNFIT.match(text):
            return "" if HEADER.match(line) else f"no header: {line}"
        return "" if reason["line"] == wanted else f"line {wanted} has the table, this one has: {line}"
    block = "\n".join(_block(lines, reason["line"]))
    own = re.match(r'^(allow|log|ask|deny) = \["(.*?)"\](?: with (.*))?$', text, re.DOTALL)
    if own is None:
        used = re.match(r"^(limit = \S+).* is used up$", text)
        quoted = f'"{used[1].partition(" = ")[2]}"' if used else text
        if quoted not in block and quoted not in _strings(block):
            return f"`{quoted}` isn't in this rule:\n{block}"
        effect = _effect(lines, reason["line"])
        # past a limit the effect is another than the list's
        return "" if _strings(line) and (effect if used else effect == reason["effect"]) else f"no list: {line}"
    effect, pattern, conditions = own.groups()
    if conditions and conditions.startswith("{") and pattern == "*":
        return "" if set(_strings(conditions)) <= set(_strings(line)) else f"another element: {line}"
    if pattern not in _strings(line):
        return f"`{pattern}` isn't in it: {line}"
    return "" if _effect(lines, reason["line"]) == effect else f"not in a list `{effect}`: {line}"


def _header(lines: list[str], server: str, sub: str) -> int:
    """The line of the table `sub` of a server; that of the server where it has none."""
    found = 0
    for number, line in enumerate(lines, 1):
        match = HEADER.match(line)
        if match is None or line.lstrip().startswith("[["):
            continue
        with contextlib.suppress(tomllib.TOMLDecodeError):
            table: Any = tomllib.loads(f"[{match[1]}]").get("servers", {}).get(server)
            if table == {} and not found:
                found = number
            elif sub and table == {sub: {}}:
                return number
    return found


def _block(lines: list[str], number: int) -> list[str]:
    """The lines of the table that a line stands in."""
    start = next((i for i in range(number - 1, -1, -1) if HEADER.match(lines[i])), 0)
    end = next((i for i in range(number, len(lines)) if HEADER.match(lines[i])), len(lines))
    return lines[start:end]


def _effect(lines: list[str], number: int) -> str:
    """The word of the list that a line stands in."""
    for i in range(number - 1, -1, -1):
        if match := re.match(r"^\s*(allow|log|ask|deny)\s*=", lines[i]):
            return match[1]
        if re.match(r"^\s*[\w.\"*-]+\s*=", lines[i]) or HEADER.match(lines[i]):
            return ""
    return ""


def _strings(text: str) -> list[str]:
    """The strings in a piece of TOML, without the ``!`` of exclusions."""
    found = []
    for each in STRING.findall(text):
        with contextlib.suppress(tomllib.TOMLDecodeError):
            found.append(tomllib.loads(f"x = {each}")["x"])
    return found
