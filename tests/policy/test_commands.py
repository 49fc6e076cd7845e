"""Commands: what they resolve to, which files of the project they name, and whether they are as they were accepted."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from mcpwrap.errors import ConfigError
from mcpwrap.policy.executables import digests, resolve_executable, search_path
from mcpwrap.policy.load import ProjectPolicy, load_project
from mcpwrap.policy.trust import TrustRecord, commands_of, digest, find_command, verify_command


def script(path: Path, text: str = "#!/bin/sh\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@dataclass
class Shop:
    """A project beside two folders of programs."""

    top: Path
    root: Path
    env: dict[str, str]

    def policy(self, text: str) -> ProjectPolicy:
        return load_project(text.encode(), file="mcpwrap.toml", root=str(self.root), home="/h")

    def accept(self, text: str, **extra: Sequence[str]) -> TrustRecord:
        commands = commands_of(self.policy(text), self.env, extra)
        return TrustRecord(str(self.root), digest(text.encode(), None), text, None, commands, (), "2026-05-12T10:00:00Z", 1)

    def verify(self, record: TrustRecord, server: str = "f") -> str | None:
        policy = self.policy(record.content)
        command = policy.servers[server].command
        assert command is not None
        return verify_command(record, server, command, self.env, policy=policy.servers[server])


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    top = tmp_path.resolve()
    root = top / "shop"
    root.mkdir()
    for folder in ("bin", "bin2"):
        script(top / folder / "runner")
    return Shop(top, root, {"PATH": f"{top}/bin:{top}/bin2"})


def test_a_program_is_the_first_of_path(shop: Shop) -> None:
    assert resolve_executable("runner", shop.env, str(shop.root)) == f"{shop.top}/bin/runner"
    assert resolve_executable("nothing", shop.env, str(shop.root)) is None
    assert resolve_executable("", shop.env, str(shop.root)) is None
    assert resolve_executable("runner", {}, str(shop.root)) is None


def test_empty_relative_and_in_project_elements_of_path_are_skipped(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    script(shop.root / "runner")
    script(shop.root / "bin" / "runner")
    (shop.top / "link").symlink_to(shop.root / "bin")
    monkeypatch.chdir(shop.root)
    path = f":.:bin:{shop.root}:{shop.root}/bin:{shop.root}/../shop/bin:{shop.top}/link:{shop.top}/bin2:"
    assert search_path(path, str(shop.root)) == [f"{shop.top}/bin2"]
    assert resolve_executable("runner", {"PATH": path}, str(shop.root)) == f"{shop.top}/bin2/runner"


def test_a_relative_element_of_path_counts_nowhere(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.top)
    assert resolve_executable("runner", {"PATH": "bin:./bin2:"}, str(shop.root)) is None


def test_a_folder_with_a_like_name_is_not_in_the_project(shop: Shop) -> None:
    beside = script(shop.top / "shop-tools" / "runner")
    assert resolve_executable("runner", {"PATH": f"{shop.top}/shop-tools"}, str(shop.root)) == beside


def test_on_windows_the_suffixes_of_programs_are_tried(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = script(shop.top / "bin" / "tool.CMD")
    env = {**shop.env, "PATHEXT": ".EXE;.CMD"}
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        assert resolve_executable("tool", env, str(shop.root)) == tool
        assert resolve_executable("tool.CMD", env, str(shop.root)) == tool
        assert resolve_executable("runner", env, str(shop.root)) is None


def test_what_cannot_be_run_is_passed_over(shop: Shop) -> None:
    (shop.top / "bin/runner").chmod(0o644)
    assert resolve_executable("runner", shop.env, str(shop.root)) == f"{shop.top}/bin2/runner"
    (shop.top / "bin2/runner").unlink()
    (shop.top / "bin2/runner").mkdir()
    assert resolve_executable("runner", shop.env, str(shop.root)) is None


def test_a_name_with_a_slash_must_be_absolute(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.top)
    assert resolve_executable("bin/runner", shop.env, str(shop.root)) is None
    assert resolve_executable("./bin/runner", shop.env, str(shop.root)) is None
    assert resolve_executable(f"{shop.top}/bin/../bin/runner", shop.env, str(shop.root)) == f"{shop.top}/bin/runner"
    assert resolve_executable(f"{shop.top}/nothing", shop.env, str(shop.root)) is None


def test_links_to_a_program_are_kept(shop: Shop) -> None:
    (shop.top / "venv").mkdir()
    (shop.top / "venv" / "python").symlink_to(shop.top / "bin/runner")
    assert resolve_executable("python", {"PATH": f"{shop.top}/venv"}, str(shop.root)) == f"{shop.top}/venv/python"


def test_every_element_that_names_a_file_of_the_project_has_a_digest(shop: Shop) -> None:
    server = script(shop.root / "server.py", "print(1)")
    outside = script(shop.top / "outside.py")
    (shop.root / "odd name").write_text("x")
    (shop.root / "out").symlink_to(outside)
    (shop.top / "in").symlink_to(server)
    known = hashlib.sha256(b"print(1)").hexdigest()
    argv = [
        "python",
        server,
        outside,
        f"--config={server}",
        f"file://{shop.root}/odd%20name",
        f"{shop.root}/out",
        f"{shop.top}/in",
        str(shop.root),
        f"{shop.root}/nothing",
        "server.py",
        "a\0b",
        "",
    ]
    found = digests(argv, "/usr/bin/python", None, str(shop.root))
    assert found == {
        server: known,
        f"--config={server}": known,
        f"file://{shop.root}/odd%20name": hashlib.sha256(b"x").hexdigest(),
        f"{shop.root}/out": hashlib.sha256(b"#!/bin/sh\n").hexdigest(),
        f"{shop.top}/in": known,
    }


def test_the_first_equals_sign_ends_an_options_name(shop: Shop) -> None:
    (shop.root / "a=b").write_text("x")
    argv = ["x", f"--config={shop.root}/a=b"]
    assert digests(argv, "/x", None, str(shop.root)) == {argv[1]: hashlib.sha256(b"x").hexdigest()}


def test_a_relative_element_names_a_file_where_the_server_has_a_working_folder(shop: Shop) -> None:
    script(shop.root / "sub" / "server.py", "x")
    known = hashlib.sha256(b"x").hexdigest()
    assert digests(["node", "server.py"], "/n", str(shop.root / "sub"), str(shop.root)) == {"server.py": known}
    assert digests(["node", "sub/server.py"], "/n", str(shop.root), str(shop.root)) == {"sub/server.py": known}
    assert digests(["node", "server.py"], "/n", None, str(shop.root)) == {}


def test_an_executable_of_the_project_has_a_digest_through_a_link_too(shop: Shop) -> None:
    program = script(shop.root / "tool", "x")
    (shop.top / "bin" / "tool").symlink_to(program)
    known = hashlib.sha256(b"x").hexdigest()
    assert digests([program], program, None, str(shop.root)) == {program: known}
    assert digests(["tool"], f"{shop.top}/bin/tool", None, str(shop.root)) == {f"{shop.top}/bin/tool": known}


def test_a_pipe_of_the_project_is_no_file_and_does_not_hang(shop: Shop) -> None:
    os.mkfifo(shop.root / "pipe")
    assert digests(["x", f"{shop.root}/pipe"], "/x", None, str(shop.root)) == {}


def test_a_file_that_cannot_be_read_has_the_empty_digest_and_is_never_as_accepted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(shop.root / "server.py")
    text = '[servers.f]\ncommand = ["runner", "${project}/server.py"]'

    def refuse(fd: int, length: int) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", refuse)
        record = shop.accept(text)
        assert record.commands[0].digests == {f"{shop.root}/server.py": ""}
        assert shop.verify(record) == f"`{shop.root}/server.py` isn't the file that was accepted; it needs `mcpwrap trust` again"
        patch.undo()
        patch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "no")))
        assert digests(["x", f"{shop.root}/server.py"], "/x", None, str(shop.root)) == {f"{shop.root}/server.py": ""}


TEXT = '[servers.f]\ncommand = ["runner", "-y", "${project}/server.py"]\ncwd = "${project}"\ninherit_env = ["A"]\n[servers.g]\n'


@pytest.fixture
def accepted(shop: Shop) -> TrustRecord:
    script(shop.root / "server.py", "print(1)")
    return shop.accept(TEXT)


def test_the_commands_of_a_file_are_recorded_whole(shop: Shop, accepted: TrustRecord) -> None:
    (command,) = accepted.commands
    assert command.server == "f"
    assert command.argv == ("runner", "-y", f"{shop.root}/server.py")
    assert command.executable == f"{shop.top}/bin/runner"
    assert command.cwd == str(shop.root)
    assert command.inherit_env == ("A",)
    assert command.digests == {f"{shop.root}/server.py": hashlib.sha256(b"print(1)").hexdigest()}
    assert shop.verify(accepted) is None


def test_a_command_of_the_clients_configuration_is_recorded_as_exactly_that_list(shop: Shop) -> None:
    record = shop.accept(TEXT, g=["runner", "a", "b c"])
    assert find_command(record, "g", ["runner", "a", "b c"]) is not None
    assert verify_command(record, "g", ["runner", "a", "b c"], shop.env) is None
    for other in (["runner", "a"], ["runner", "a", "b", "c"], ["runner", "a", "b c", ""], [f"{shop.top}/bin/runner", "a", "b c"]):
        assert verify_command(record, "g", other, shop.env) == (
            "the command for `g` isn't the one that was accepted; it needs `mcpwrap trust` again"
        )
    assert verify_command(record, "f", ["runner", "a", "b c"], shop.env) is not None


def test_a_command_beside_the_files_own_must_be_equal_to_it(shop: Shop) -> None:
    policy = shop.policy(TEXT)
    command = policy.servers["f"].command
    assert command is not None
    assert len(commands_of(policy, shop.env, {"f": list(command)})) == 1
    with pytest.raises(ConfigError, match=r"mcpwrap.toml defines another command for `f`") as caught:
        commands_of(policy, shop.env, {"f": ["runner"]})
    assert caught.value.place == "mcpwrap.toml:1"
    with pytest.raises(ConfigError, match="`h` is no server"):
        commands_of(policy, shop.env, {"h": ["runner"]})
    with pytest.raises(ConfigError, match="the command for `g` is empty"):
        commands_of(policy, shop.env, {"g": []})


def test_a_server_without_an_accepted_command_is_told(shop: Shop, accepted: TrustRecord) -> None:
    assert verify_command(accepted, "g", ["runner"], shop.env) == "no command was accepted for `g`; it needs `mcpwrap trust` again"


def test_a_changed_script_of_the_project_is_told(shop: Shop, accepted: TrustRecord) -> None:
    script(shop.root / "server.py", "print(2)")
    assert shop.verify(accepted) == f"`{shop.root}/server.py` isn't the file that was accepted; it needs `mcpwrap trust` again"
    (shop.root / "server.py").unlink()
    assert shop.verify(accepted) == f"`{shop.root}/server.py` is gone; it was a file of the project when it was accepted"


def test_a_file_that_was_not_there_when_it_was_accepted_is_told(shop: Shop) -> None:
    record = shop.accept('[servers.f]\ncommand = ["runner", "${project}/later.py"]')
    assert shop.verify(record) is None
    script(shop.root / "later.py")
    assert shop.verify(record) == (
        f"`{shop.root}/later.py` is a file of the project now, and wasn't when it was accepted; it needs `mcpwrap trust` again"
    )


def test_a_program_that_another_folder_of_path_brings_now_is_told(shop: Shop, accepted: TrustRecord) -> None:
    shop.env["PATH"] = f"{shop.top}/bin2:{shop.top}/bin"
    assert shop.verify(accepted) == (
        f"`runner` is {shop.top}/bin2/runner now, and {shop.top}/bin/runner was accepted; it needs `mcpwrap trust` again"
    )


def test_an_in_project_element_of_path_brings_nothing(shop: Shop, accepted: TrustRecord) -> None:
    script(shop.root / "evil" / "runner")
    shop.env["PATH"] = f"{shop.root}/evil:{shop.env['PATH']}"
    assert shop.verify(accepted) is None


def test_a_program_that_is_gone_is_told(shop: Shop, accepted: TrustRecord) -> None:
    shop.env["PATH"] = "/nowhere"
    assert shop.verify(accepted) == "`runner` wasn't found: it is no executable, or in no folder of PATH that counts"


def test_a_program_that_was_not_found_when_it_was_accepted_is_told(shop: Shop) -> None:
    record = shop.accept('[servers.f]\ncommand = ["late"]')
    assert record.commands[0].executable == ""
    late = script(shop.top / "bin" / "late")
    assert shop.verify(record) == f"`late` is {late} now, and wasn't found when it was accepted; it needs `mcpwrap trust` again"


def test_a_replaced_executable_of_the_project_is_told(shop: Shop) -> None:
    program = script(shop.root / "tool", "x")
    record = shop.accept('[servers.f]\ncommand = ["${project}/tool"]')
    assert shop.verify(record) is None
    script(shop.root / "tool", "y")
    assert shop.verify(record) == f"`{program}` isn't the file that was accepted; it needs `mcpwrap trust` again"


def test_another_working_folder_or_other_inherited_variables_are_told(shop: Shop, accepted: TrustRecord) -> None:
    (command,) = accepted.commands
    for field, value, told in (
        ("cwd", None, f"`f` would run in `{shop.root}`, and a private folder was accepted"),
        ("inherit_env", (), "the variables that `f` inherits aren't those that were accepted"),
    ):
        other = msgspec.structs.replace(accepted, commands=(msgspec.structs.replace(command, **{field: value}),))
        assert shop.verify(other) == f"{told}; it needs `mcpwrap trust` again"


def test_a_command_for_a_server_that_is_not_there_is_told_with_the_file() -> None:
    policy = load_project(b"", file="mcpwrap.toml", root="/s", home="/h")
    with pytest.raises(ConfigError, match="`f` is no server") as caught:
        commands_of(policy, {}, {"f": ["x"]})
    assert caught.value.place == "mcpwrap.toml"
