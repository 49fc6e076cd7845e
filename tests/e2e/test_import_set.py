"""What a shim imports on the way of a call: it starts with every server of every client, so what is heavy stays out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.lines import Lines
from tests.e2e.sessions import Talk, initialize
from tests.project import Launch, Project, Server

HEAVY = {"mcp", "mcp_types", "pydantic", "keyring", "jwt", "cryptography", "rich", "click", "textual", "re2", "celpy"}
HEAVY |= {"httpx2", "jeepney", "secretstorage", "tomlkit"}

MINTED = '[servers.plain.credentials.AGENT_TOKEN]\nminted = {{ ttl_s = 120 }}\nvia = "{via}"\n'

RECORDER = """\
import sys
def _record(event, args, path={path!r}):
    if event == "import":
        with open(path, "a") as file:
            file.write(args[0] + "\\n")
sys.addaudithook(_record)
"""
"""A `sitecustomize`: writes down each import when it happens, so that it counts however the process ends."""


@pytest.mark.parametrize("via", ["", "env", "file", "helper", "meta"])
def test_the_way_of_a_call_imports_nothing_heavy(project: Project, tmp_path: Path, via: str) -> None:
    imports = tmp_path / "imports.txt"
    (tmp_path / "sitecustomize.py").write_text(RECORDER.format(path=str(imports)), encoding="utf-8")
    server = Server("plain", (sys.executable, str(Path(__file__).with_name("plain_server.py"))))
    credential = MINTED.format(via=via) if via else ""
    project.define(server, rules=f'allow = ["e*"]\nlog = ["echo"]\n{credential}')
    launch = project.behind(server)
    recorded = Launch(launch.argv, {**launch.env, "PYTHONPATH": str(tmp_path)}, launch.cwd)
    with Lines(recorded) as lines:
        talk = Talk(lines)
        initialize(talk, lines, {})
        assert [tool["name"] for tool in talk.ask("tools/list")["result"]["tools"]] == ["echo"]
        assert "result" in talk.call("echo", {"a": 1})
        assert "error" in talk.call("forget", {"a": 1})
    seen = {name.partition(".")[0] for name in imports.read_text().split()}
    assert "msgspec" in seen, "the recorder saw nothing of mcpwrap"
    assert not seen & HEAVY
