"""Our own folders, and how a configuration file is opened."""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from pathlib import Path

import pytest

from mcpwrap.errors import ConfigError, StateError
from mcpwrap.files import check_private, ensure_private, lies_in
from mcpwrap.policy.folders import (
    FILE_LIMIT,
    Folders,
    folders,
    read_config,
    read_site,
    refuse_inside_project,
)

REAL_HOME = pwd.getpwuid(os.getuid()).pw_dir
linux = pytest.mark.skipif(sys.platform != "linux", reason="the XDG folders")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


@linux
@pytest.mark.parametrize(
    ("env", "config", "state", "moved"),
    [
        ({"HOME": REAL_HOME}, f"{REAL_HOME}/.config/mcpwrap", f"{REAL_HOME}/.local/state/mcpwrap", ()),
        ({}, f"{REAL_HOME}/.config/mcpwrap", f"{REAL_HOME}/.local/state/mcpwrap", ()),
        ({"HOME": "/h"}, "/h/.config/mcpwrap", "/h/.local/state/mcpwrap", ("HOME",)),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/c/"}, "/c/mcpwrap", "/h/.local/state/mcpwrap", ("HOME", "XDG_CONFIG_HOME")),
        ({"HOME": REAL_HOME, "XDG_STATE_HOME": "/s"}, f"{REAL_HOME}/.config/mcpwrap", "/s/mcpwrap", ("XDG_STATE_HOME",)),
        (
            {"HOME": REAL_HOME, "XDG_STATE_HOME": "relative"},
            f"{REAL_HOME}/.config/mcpwrap",
            f"{REAL_HOME}/.local/state/mcpwrap",
            (),
        ),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/h/.config"}, "/h/.config/mcpwrap", "/h/.local/state/mcpwrap", ("HOME",)),
    ],
)
def test_the_folders_follow_the_environment_and_say_what_moved_them(
    env: dict[str, str], config: str, state: str, moved: tuple[str, ...]
) -> None:
    data = f"{env.get('HOME', REAL_HOME)}/.local/share/mcpwrap"
    assert folders(env) == Folders(config, state, data, "/etc/mcpwrap/config.toml", moved)


@linux
def test_the_folders_are_those_of_platformdirs(monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    for name, value in {"HOME": "/h", "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "/x/state"}.items():
        monkeypatch.setenv(name, value)
    dirs = platformdirs.PlatformDirs("mcpwrap", appauthor=False)
    found = folders(os.environ)
    assert (found.config, found.state) == (dirs.user_config_dir, dirs.user_state_dir)


@linux
def test_without_a_home_there_are_no_folders() -> None:
    with pytest.raises(StateError, match="there is no home folder"):
        folders({"HOME": "relative"})


@linux
def test_no_variable_moves_the_administrators_file() -> None:
    env = dict.fromkeys(["XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_DATA_DIRS", "ProgramData", "HOME"], "/elsewhere")
    assert folders(env).site_file == "/etc/mcpwrap/config.toml"


@linux
def test_a_user_without_an_entry_has_the_home_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert folders({"HOME": "/h"}).nondefault == ("HOME",)
    with pytest.raises(StateError, match="there is no home folder"):
        folders({})


@linux
def test_elsewhere_platformdirs_is_asked_and_the_administrators_file_has_a_fixed_place(monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    dirs = platformdirs.PlatformDirs("mcpwrap", appauthor=False)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        mac = folders(os.environ)
    assert (mac.config, mac.state) == (dirs.user_config_dir, dirs.user_state_dir)
    assert mac.site_file == "/Library/Application Support/mcpwrap/config.toml"
    assert mac.nondefault == ("XDG_CONFIG_HOME",)


@linux
@pytest.mark.parametrize(("answer", "folder"), [(0, "D:\\Data"), (1, "C:\\ProgramData")])
def test_on_windows_the_system_is_asked_for_the_administrators_folder_and_not_a_variable(
    monkeypatch: pytest.MonkeyPatch, answer: int, folder: str
) -> None:
    class Shell32:
        def SHGetFolderPathW(self, owner: None, what: int, token: None, flags: int, buffer: ctypes.Array[ctypes.c_wchar]) -> int:
            assert what == 0x23
            buffer.value = "D:\\Data"
            return answer

    class Windll:
        shell32 = Shell32()

    monkeypatch.setenv("ProgramData", "/elsewhere")
    monkeypatch.setattr(ctypes, "windll", Windll(), raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        assert folders(os.environ).site_file == f"{folder}/mcpwrap/config.toml"


def test_where_nobody_has_owners_the_rest_is_still_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcpwrap.files._POSIX", False)
    tmp_path.chmod(0o777)
    check_private(str(tmp_path))
    (tmp_path / "x.toml").symlink_to("/etc/hosts")
    with pytest.raises(ConfigError, match="is a link"):
        read_config(str(tmp_path / "x.toml"))
    with pytest.raises(FileNotFoundError):
        read_config(str(tmp_path / "y.toml"))


def test_a_folder_that_is_not_there_or_none_is_not_private(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="can't be looked at: no such file or directory"):
        check_private(str(tmp_path / "nothing"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="is no folder"):
        check_private(str(tmp_path / "file"))


def test_a_folder_is_made_private_with_its_parents(tmp_path: Path) -> None:
    made = tmp_path / "a" / "b"
    before = os.umask(0)
    try:
        ensure_private(str(made))
    finally:
        os.umask(before)
    assert made.stat().st_mode & 0o777 == 0o700
    ensure_private(str(made))


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(StateError, match="is a link") as caught:
        ensure_private(str(tmp_path / "link"))
    assert caught.value.hint


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(StateError, match="is writable for others") as caught:
        ensure_private(str(tmp_path))
    assert caught.value.hint == f"chmod 700 {tmp_path}"


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StateError, match="belongs to another user"):
        ensure_private(str(tmp_path))


def test_what_is_no_folder_or_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="is no folder"):
        ensure_private(str(tmp_path / "file"))
    with pytest.raises(StateError, match="can't be made: not a directory"):
        ensure_private(str(tmp_path / "file" / "below"))


@pytest.mark.parametrize(
    ("config", "state", "kind"),
    [
        ("/src/shop/.config/mcpwrap", "/h/s", "configuration"),
        ("/h/c", "/src/shop", "state"),
        ("/src/shop/../shop/c", "/h/s", "configuration"),
    ],
)
def test_our_folders_inside_a_project_are_refused(config: str, state: str, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"the {kind} folder .* lies inside the project `/src/shop` .moved by XDG_CONFIG_HOME"):
        refuse_inside_project(Folders(config, state, "/h/d", "/etc/x", ("XDG_CONFIG_HOME",)), "/src/shop")


def test_a_folder_that_leads_into_the_project_by_a_link_is_refused(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "shop"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(ConfigError, match="lies inside the project"):
        refuse_inside_project(Folders(str(tmp_path / "link" / "c"), "/h/s", "/h/d", "/etc/x", ()), str(root))


def test_our_folders_beside_a_project_are_fine() -> None:
    refuse_inside_project(Folders("/src/shop2/c", "/src/sho", "/h/d", "/etc/x", ()), "/src/shop")


def test_a_config_file_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"a = 1\r\n\xff")
    assert read_config(str(file)) == b"a = 1\r\n\xff"


def test_a_config_file_that_is_not_there_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_config(str(tmp_path / "x.toml"))


def test_a_config_file_that_is_a_link_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    for target in ("real.toml", "nowhere"):
        (tmp_path / "real.toml").write_text("a = 1")
        file.symlink_to(target)
        with pytest.raises(ConfigError, match=r"`x.toml` is a link"):
            read_config(str(file))
        file.unlink()


def test_a_config_file_must_be_a_plain_file_and_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="is no plain file"):
            read_config(str(path))


def test_a_config_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("a = 1")
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="writable for everybody"):
        read_config(str(file))


def test_a_config_file_has_a_longest_length(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"#" * FILE_LIMIT)
    assert len(read_config(str(file))) == FILE_LIMIT
    file.write_bytes(b"#" * (FILE_LIMIT + 1))
    with pytest.raises(ConfigError, match="longer than 256 KiB"):
        read_config(str(file))


def test_a_config_file_below_a_file_or_with_a_nul_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be opened: not a directory"):
        read_config(str(tmp_path / "file" / "x.toml"))
    with pytest.raises(ConfigError, match="can't be opened"):
        read_config("a\0b")


def test_a_config_file_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.toml"
    file.write_text("")

    def refuse(fd: int, length: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", refuse)
    with pytest.raises(ConfigError, match="can't be read: input/output error"):
        read_config(str(file))


@as_root
def test_the_administrators_file_must_be_roots_and_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("a = 1")
    file.chmod(0o644)
    assert read_site(str(file)) == b"a = 1"
    file.chmod(0o664)
    with pytest.raises(ConfigError, match="can be written by others than root"):
        read_site(str(file))
    file.chmod(0o644)
    os.chown(file, 12345, 0)
    with pytest.raises(ConfigError, match="can be written by others than root"):
        read_site(str(file))


@pytest.mark.parametrize(("mode", "fine"), [(0o700, True), (0o711, True), (0o755, True), (0o702, False), (0o720, False)])
def test_only_who_may_write_to_a_folder_counts(tmp_path: Path, mode: int, fine: bool) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(mode)
    if fine:
        check_private(str(folder))
    else:
        with pytest.raises(StateError, match="is writable for others"):
            check_private(str(folder))


def test_the_administrators_file_inside_a_project_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the site folder `/src/shop/site/config.toml` lies inside the project `/src/shop`$"):
        refuse_inside_project(Folders("/h/c", "/h/s", "/h/d", "/src/shop/site/config.toml", ()), "/src/shop")


def test_a_folder_in_the_project_that_leads_out_of_it_is_refused(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "shop"
    (root.parent / "outside").mkdir()
    root.mkdir()
    (root / "config").symlink_to(root.parent / "outside")
    with pytest.raises(ConfigError, match="lies inside the project"):
        refuse_inside_project(Folders(str(root / "config"), "/h/s", "/h/d", "/etc/x", ()), str(root))


def test_everything_lies_in_the_root_of_the_file_system() -> None:
    assert lies_in("/a", "/")
    assert lies_in("/a/b", "/a/")
    assert not lies_in("/ab", "/a")


@linux
def test_a_user_without_an_entry_whose_home_is_the_root_moved_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> pwd.struct_passwd:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert folders({"HOME": "/"}).nondefault == ()
    assert folders({"HOME": "/h"}).nondefault == ("HOME",)


@as_root
@pytest.mark.parametrize(("mode", "fine"), [(0o600, True), (0o645, True), (0o602, False), (0o620, False)])
def test_the_administrators_file_is_written_by_root_alone(tmp_path: Path, mode: int, fine: bool) -> None:
    path = tmp_path / "config.toml"
    path.write_text("x")
    path.chmod(mode)
    if fine:
        assert read_site(str(path)) == b"x"
    else:
        with pytest.raises(ConfigError, match="can be written by others than root") as caught:
            read_site(str(path))
        assert caught.value.place == str(path)


@pytest.mark.parametrize(("mode", "fine"), [(0o600, True), (0o661, True), (0o602, False)])
def test_a_file_of_ones_own_is_not_written_by_everybody(tmp_path: Path, mode: int, fine: bool) -> None:
    path = tmp_path / "config.toml"
    path.write_text("x")
    path.chmod(mode)
    if fine:
        assert read_config(str(path)) == b"x"
    else:
        with pytest.raises(ConfigError, match="is writable for everybody") as caught:
            read_config(str(path))
        assert caught.value.place == str(path)


def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x" * 9)
    paths = [str(tmp_path / "link"), str(tmp_path), str(tmp_path / "file" / "below"), str(tmp_path / "file"), "a\0b"]
    for path in paths:
        with pytest.raises(ConfigError) as caught:
            read_config(path, 8)
        assert caught.value.place == path


def test_a_file_is_read_in_pieces_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("0123456789")
    read, close = os.read, os.close
    closed: list[int] = []
    monkeypatch.setattr(os, "read", lambda fd, size: read(fd, min(size, 3)))

    def noted(fd: int) -> None:
        closed.append(fd)
        close(fd)

    monkeypatch.setattr(os, "close", noted)
    assert read_config(str(path), 10) == b"0123456789"
    with pytest.raises(ConfigError, match="is longer than"):
        read_config(str(path), 9)
    assert len(closed) == 2
