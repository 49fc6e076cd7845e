"""Who is asking: agents' shells, and processes below the client of a running shim (POLICY.md §5)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcpwrap.cli.caller import AGENT_VARIABLES, agent_in, refuse_agents, shim_client_above
from mcpwrap.errors import RefusedError


@pytest.mark.parametrize("name", AGENT_VARIABLES)
def test_each_known_agents_variable_speaks_against_a_person(name: str) -> None:
    assert agent_in({"HOME": "/", name: "1"}) == (name, AGENT_VARIABLES[name])
    with pytest.raises(RefusedError, match=name):
        refuse_agents({name: "1"}, "mcpwrap trust")


def test_an_empty_variable_and_a_persons_settings_say_nothing() -> None:
    settings = {"CLAUDECODE": "", "AIDER_MODEL": "x", "CODEX_HOME": "/x", "COPILOT_GITHUB_TOKEN": "x", "TERM": "xterm"}
    assert agent_in(settings) is None


class Processes:
    """A process table as Linux shows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, pid: int, parent: int, *argv: str, name: str = "x) (y") -> None:
        folder = self.folder / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0 -1")
        (folder / "cmdline").write_bytes("\0".join([*argv, ""]).encode())
        (folder / "comm").write_text(name + "\n")

    def client_above(self, pid: int) -> int | None:
        return shim_client_above(pid, str(self.folder))


@pytest.fixture
def table(tmp_path: Path) -> Processes:
    processes = Processes(tmp_path)
    processes.add(1, 0, "/sbin/init")
    processes.add(10, 1, "bash")
    (tmp_path / "self").mkdir()
    return processes


def test_a_shell_that_the_shims_client_started_is_below_it(table: Processes) -> None:
    table.add(20, 10, "claude")
    table.add(21, 20, "python", "/home/x/bin/mcpwrap", "run", "files")
    table.add(30, 20, "bash")
    table.add(31, 30, "mcpwrap", "trust")
    assert table.client_above(31) == 20


def test_what_only_passes_the_command_on_is_no_client(table: Processes) -> None:
    table.add(20, 10, "claude")
    table.add(21, 20, "sh", "-c", "uvx --from mcpwrap-shim mcpwrap run files")
    table.add(22, 21, "uvx", "--from", "mcpwrap-shim", "mcpwrap", "run", "files")
    table.add(23, 22, "python", "-m", "mcpwrap", "run", "files")
    table.add(30, 20, "mcpwrap", "trust")
    assert table.client_above(30) == 20


def test_the_terminal_beside_the_client_is_a_persons(table: Processes) -> None:
    table.add(20, 10, "claude")
    table.add(21, 20, "mcpwrap", "run", "files")
    table.add(31, 10, "mcpwrap", "trust")
    assert table.client_above(31) is None


def test_a_shim_whose_client_is_gone_makes_nobody_a_client(table: Processes) -> None:
    table.add(21, 1, "mcpwrap", "run", "files")
    table.add(40, 1, "systemd", name="systemd")
    table.add(41, 40, "mcpwrap", "run", "files")
    table.add(50, 40, "gnome-terminal")
    table.add(31, 50, "mcpwrap", "trust")
    assert table.client_above(31) is None


def test_other_programs_with_these_words_are_no_shims(table: Processes) -> None:
    table.add(20, 10, "vim", "mcpwrap", "trust", "run")
    table.add(31, 10, "mcpwrap", "trust")
    assert table.client_above(31) is None


def test_without_a_process_table_nothing_is_said(tmp_path: Path) -> None:
    assert shim_client_above(os.getpid(), str(tmp_path / "nothing")) is None


def test_the_real_process_table_can_be_read() -> None:
    assert shim_client_above(os.getpid()) is None
