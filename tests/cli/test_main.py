"""The door: dispatch, errors as text, exit codes (POLICY.md §7)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mcpwrap import __version__
from mcpwrap.cli import commands
from mcpwrap.cli.main import dispatch, main
from mcpwrap.errors import ConfigError, McpwrapError
from tests.project import Project


def test_without_a_command_on_a_pipe_the_way_is_shown(project: Project) -> None:
    ended = project.mcpwrap(check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.endswith("hint: you want `mcpwrap run NAME`\n")


def test_the_version_is_said(project: Project) -> None:
    assert project.mcpwrap("--version").stdout == f"mcpwrap {__version__}\n"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_help_names_every_command(project: Project, option: str) -> None:
    text = project.mcpwrap(option).stdout
    for name, (_, line) in commands.COMMANDS.items():
        assert f"  {name}" in text
        assert line in text


@pytest.mark.parametrize("name", [n for n in commands.COMMANDS if n not in ("run", "demo")])
def test_every_command_has_help_of_its_own(project: Project, name: str) -> None:
    assert project.mcpwrap(name, "--help").stdout.startswith(f"Usage: mcpwrap {name}")


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["nonsense"], "no such command `nonsense`"),
        (["trust", "--nonsense"], "no such option `--nonsense`"),
        (["schema", "nothing"], "invalid value for"),
        (["explain"], "missing argument"),
    ],
)
def test_a_wrong_command_line_is_a_fact_and_a_hint(project: Project, arguments: list[str], fact: str) -> None:
    ended = project.mcpwrap(*arguments, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"error: {fact}")
    assert "--help` says what it takes\n" in ended.stderr


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def failing(argv: list[str]) -> int:
        raise error

    monkeypatch.setattr("mcpwrap.cli.main._through_click", failing)


def test_an_error_is_told_with_place_excerpt_and_hint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(
        monkeypatch,
        ConfigError("no\x1b good", file="mcpwrap.toml", line=9, column=1, excerpt="  alow = 1", hint="mend it"),
    )
    assert dispatch(["check"]) == 2
    assert capsys.readouterr() == (
        "",
        "error: no\\u{1b} good\n  mcpwrap.toml:9:1   alow = 1\nhint: mend it\n",
    )


def test_an_error_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, McpwrapError("it failed"))
    with pytest.raises(SystemExit) as stopped:
        main(["check"])
    assert stopped.value.code == 1


def test_ctrl_c_is_told_by_its_exit_code_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert dispatch(["check"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_bug_is_one_line_and_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(monkeypatch, RuntimeError("oh\x1b no"))
    assert dispatch(["check"]) == 1
    text = capsys.readouterr().err
    assert text.startswith("error: RuntimeError: oh\\u{1b} no\n       This is a bug in mcpwrap")
    assert "Traceback" not in text


def test_a_bug_has_its_traceback_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MCPWRAP_DEBUG", "1")
    fail_with(monkeypatch, RuntimeError("oh no"))
    assert dispatch(["check"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(project: Project) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [project.command, "schema"], stdout=writer, stderr=subprocess.PIPE, env=project.env, cwd=project.root, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_terminal_that_lacks_a_character_gets_its_number(project: Project) -> None:
    project.write('version = 1\n[servers.files]\ncommand = ["/bin/sh"]\nallow = ["*"]\n')
    env = {**project.env, "PYTHONIOENCODING": "latin-1"}
    ended = subprocess.run([project.command, "explain", "files", "x"], env=env, cwd=project.root, check=True, capture_output=True)
    assert ended.stdout.startswith(rb"files \u203a x: allowed")


def test_run_is_reached_without_click(project: Project) -> None:
    code = "import sys; from mcpwrap.cli.main import dispatch; dispatch(['run', '--help']); print('click' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], env=project.env, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")])
def test_each_shell_gets_its_script(project: Project, shell: str, word: str) -> None:
    text = project.mcpwrap("completion", shell).stdout
    assert word in text
    assert "_MCPWRAP_COMPLETE" in text


@pytest.mark.parametrize(
    ("line", "word", "completed"),
    [
        ("mcpwrap st", 1, ["status"]),
        ("mcpwrap explain ", 2, ["files"]),
        ("mcpwrap run ", 2, ["files"]),
        ("mcpwrap explain files mo", 3, ["move_file"]),
    ],
)
def test_commands_servers_and_tools_are_completed(project: Project, line: str, word: int, completed: list[str]) -> None:
    project.write('version = 1\n[servers.files]\ncommand = ["/bin/sh"]\nallow = ["read_*"]\ndeny = ["move_file"]\n')
    env = {**project.env, "_MCPWRAP_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(word)}
    ended = subprocess.run([project.command], env=env, cwd=project.root, capture_output=True, text=True, check=False)
    assert [entry.partition(",")[2] for entry in ended.stdout.splitlines()] == completed
