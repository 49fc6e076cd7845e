"""Trust without a person: only where the person's own file allows it, and only for a digest (POLICY.md §5)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import FILE, plain
from tests.project import Project


def digest_of(project: Project) -> str:
    return str(json.loads(project.mcpwrap("check", "--json").stdout)["digest"])


def test_a_digest_is_enough_where_the_persons_file_allows_scripts(project: Project) -> None:
    project.write(FILE)
    ended = project.mcpwrap("trust", "--digest", digest_of(project))
    assert "runs        /bin/sh -c 'exit 0'" in ended.stdout
    assert ended.stdout.endswith("trusted. Sessions that were held go on by themselves; `mcpwrap untrust` takes it back.\n")
    [record] = [json.loads(line) for line in project.mcpwrap("log", "--json").stdout.splitlines()]
    assert str(record["note"]).startswith("accepted scripted;")


def test_another_digest_is_refused_with_both_named(project: Project) -> None:
    project.write(FILE)
    wanted = digest_of(project)
    project.write(FILE + "# later\n")
    ended = project.mcpwrap("trust", "--digest", wanted, check=False)
    assert ended.returncode == 3
    assert ended.stderr.startswith(f"error: the digest is `{digest_of(project)}`, not `{wanted}`\n")


def test_a_digest_alone_is_not_enough(project: Project, user_config: Path) -> None:
    project.write(FILE)
    for text in ("", "[trust]\nscripted = false\n"):
        user_config.write_text(text)
        ended = project.mcpwrap("trust", "--digest", digest_of(project), check=False)
        assert ended.returncode == 3
        assert "asks a person" in ended.stderr or "wants a person" in ended.stderr


def test_leave_for_scripts_without_a_digest_is_not_enough(project: Project) -> None:
    project.write(FILE)
    assert project.mcpwrap("trust", check=False).returncode == 3


def test_a_project_cannot_give_itself_leave(project: Project, user_config: Path) -> None:
    user_config.unlink()
    project.write(FILE + "[trust]\nscripted = true\n")
    ended = project.mcpwrap("check", check=False)
    assert ended.returncode == 2
    assert "trust" in plain(ended.stdout, project)


def test_a_clients_command_can_be_trusted_by_a_script(project: Project) -> None:
    project.write('version = 1\n[servers.mine]\nallow = ["*"]\n')
    ended = project.mcpwrap("trust", "--digest", digest_of(project), "mine", "--", "/bin/sh", "-c", "exit 0")
    assert "runs        /bin/sh -c 'exit 0'\n" in ended.stdout
    status = json.loads(project.mcpwrap("status", "--json").stdout)
    assert status["servers"][0]["held"] is None
    assert status["servers"][0]["command"] == ["/bin/sh", "-c", "exit 0"]
