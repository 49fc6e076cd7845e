"""Which project counts: the order of ways, the home folder's bound, foreign folders, links."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mcpwrap.errors import ConfigError
from mcpwrap.policy.project import FOUND_UPWARDS, Project, caller_project, find_project, read_project


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """home/{shop,other}, each a project with a folder below; home/plain is none; outside/ is a project outside of home."""
    top = tmp_path.resolve()
    for name in ("home/shop", "home/other", "outside"):
        (top / name / "sub" / "deep").mkdir(parents=True)
        (top / name / "mcpwrap.toml").write_text("")
    (top / "home" / "plain").mkdir()
    return top


def find(
    tree: Path, cwd: str, *, option: str | None = None, env: dict[str, str] | None = None, home: str = "home"
) -> tuple[str, str] | None:
    found = find_project(option=option, env=env or {}, cwd=str(tree / cwd), home=str(tree / home))
    if found is None:
        return None
    assert found.file == os.path.join(found.root, "mcpwrap.toml")
    return os.path.relpath(found.root, tree), found.chosen_by


def test_the_option_comes_before_the_variables_and_those_before_going_up(tree: Path) -> None:
    own, claude = str(tree / "home/other"), str(tree / "outside")
    both = {"MCPWRAP_PROJECT": own, "CLAUDE_PROJECT_DIR": claude}
    assert find(tree, "home/shop", option=str(tree / "home/shop"), env=both) == ("home/shop", "--project")
    assert find(tree, "home/shop", env=both) == ("home/other", "MCPWRAP_PROJECT")
    assert find(tree, "home/shop", env={"CLAUDE_PROJECT_DIR": claude}) == ("outside", "CLAUDE_PROJECT_DIR")
    assert find(tree, "home/shop") == ("home/shop", FOUND_UPWARDS)


def test_an_empty_variable_is_an_unset_one(tree: Path) -> None:
    assert find(tree, "home/shop", env={"MCPWRAP_PROJECT": "", "CLAUDE_PROJECT_DIR": ""}) == ("home/shop", FOUND_UPWARDS)


def test_other_variables_choose_nothing(tree: Path) -> None:
    other = str(tree / "home/other")
    env = dict.fromkeys(["PWD", "OLDPWD", "MCP_ROOTS", "PROJECT_DIR", "INIT_CWD"], other)
    assert find(tree, "home/shop", env=env) == ("home/shop", FOUND_UPWARDS)


def test_the_nearest_file_going_up_counts(tree: Path) -> None:
    assert find(tree, "home/shop/sub/deep") == ("home/shop", FOUND_UPWARDS)
    (tree / "home/shop/sub/mcpwrap.toml").write_text("")
    assert find(tree, "home/shop/sub/deep") == ("home/shop/sub", FOUND_UPWARDS)


def test_going_up_ends_below_the_home_folder(tree: Path) -> None:
    (tree / "home/mcpwrap.toml").write_text("")
    (tree / "mcpwrap.toml").write_text("")
    assert find(tree, "home/plain") is None
    assert find(tree, "home") is None


def test_outside_of_the_home_folder_going_up_ends_at_the_top(tree: Path) -> None:
    assert find(tree, "outside/sub") == ("outside", FOUND_UPWARDS)
    (tree / "mcpwrap.toml").write_text("")
    assert find(tree, ".") == (".", FOUND_UPWARDS)
    (tree / "beside").mkdir()
    assert find(tree, "beside") == (".", FOUND_UPWARDS)
    assert find_project(option=None, env={}, cwd="/", home=str(tree)) is None


def test_without_a_home_folder_going_up_ends_at_the_top(tree: Path) -> None:
    found = find_project(option=None, env={}, cwd=str(tree / "home/shop/sub"), home="")
    assert found is not None
    assert found.root == str(tree / "home/shop")


def test_a_home_folder_reached_by_a_link_is_the_same_bound(tree: Path) -> None:
    (tree / "home/mcpwrap.toml").write_text("")
    (tree / "link").symlink_to("home")
    assert find(tree, "home/plain", home="link") is None
    assert find(tree, "link/plain") is None


def test_a_project_is_its_canonical_path(tree: Path) -> None:
    (tree / "home/link").symlink_to("shop")
    assert find(tree, "home/link/sub") == ("home/shop", FOUND_UPWARDS)
    assert find(tree, "home/plain", option=str(tree / "home/link")) == ("home/shop", "--project")
    assert find(tree, "home/plain", option="../shop/./sub/..") == ("home/shop", "--project")
    assert find(tree, "home", env={"MCPWRAP_PROJECT": "link"}) == ("home/shop", "MCPWRAP_PROJECT")


@pytest.mark.parametrize("by", ["--project", "MCPWRAP_PROJECT"])
@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("home/nothing", "is no folder"),
        ("home/shop/mcpwrap.toml", "is no folder"),
        ("home/plain", "has no `mcpwrap.toml`"),
        ("home/shop/sub", "has no"),
    ],
)
def test_what_is_named_must_be_a_projects_root(tree: Path, by: str, named: str, message: str) -> None:
    path = str(tree / named)
    with pytest.raises(ConfigError, match=f"named by {by},.* {message}|{message}"):
        find(tree, "home/shop", option=path if by == "--project" else None, env={} if by == "--project" else {by: path})


def test_an_empty_option_is_an_error(tree: Path) -> None:
    with pytest.raises(ConfigError, match="--project names no folder"):
        find(tree, "home/shop", option="")


def test_a_clients_folder_may_be_a_folder_of_a_project_or_none_and_then_the_working_directory_does_not_count(tree: Path) -> None:
    assert find(tree, "home/other", env={"CLAUDE_PROJECT_DIR": str(tree / "home/shop/sub")}) == ("home/shop", "CLAUDE_PROJECT_DIR")
    assert find(tree, "home/other", env={"CLAUDE_PROJECT_DIR": str(tree / "home/plain")}) is None
    with pytest.raises(ConfigError, match="named by CLAUDE_PROJECT_DIR, is no folder"):
        find(tree, "home/other", env={"CLAUDE_PROJECT_DIR": str(tree / "nothing")})


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is another, ordinary user than the one who owns the files."""
    uid = os.getuid() + 1000
    monkeypatch.setattr(os, "geteuid", lambda: uid)


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize("by", ["--project", "MCPWRAP_PROJECT", "CLAUDE_PROJECT_DIR"])
def test_a_folder_that_another_user_owns_is_refused_whatever_names_it(tree: Path, by: str) -> None:
    path = str(tree / "home/shop")
    with pytest.raises(ConfigError, match=f"named by {by}, belongs to another user"):
        find(tree, "home/shop", option=path if by == "--project" else None, env={} if by == "--project" else {by: path})


@pytest.mark.usefixtures("stranger")
def test_going_up_finds_nothing_in_another_users_folder(tree: Path) -> None:
    assert find(tree, "home/shop/sub") is None


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


@as_root
def test_going_up_ends_at_a_folder_that_another_user_owns(tree: Path) -> None:
    (tree / "home/mcpwrap.toml").write_text("")
    os.chown(tree / "home/shop/sub", 12345, 12345)
    assert find(tree, "home/shop/sub/deep") is None
    assert find(tree, "home/shop/sub") is None
    assert find(tree, "home/shop") == ("home/shop", FOUND_UPWARDS)


@as_root
def test_root_accepts_a_folder_of_another_owner_only_with_the_option(tree: Path) -> None:
    shop = tree / "home/shop"
    os.chown(shop, 12345, 12345)
    assert find(tree, "home/plain", option=str(shop)) == ("home/shop", "--project")
    for by in ("MCPWRAP_PROJECT", "CLAUDE_PROJECT_DIR"):
        with pytest.raises(ConfigError, match="belongs to another user") as caught:
            find(tree, "home/plain", env={by: str(shop)})
        assert caught.value.hint == "root may name it with `--project`"
    assert find(tree, "home/shop") is None


def test_a_file_that_is_a_link_is_found_and_then_refused_instead_of_another_projects(tree: Path) -> None:
    (tree / "home/shop/sub/mcpwrap.toml").symlink_to("../../other/mcpwrap.toml")
    found = find_project(option=None, env={}, cwd=str(tree / "home/shop/sub"), home=str(tree / "home"))
    assert found is not None
    assert found.root == str(tree / "home/shop/sub")
    with pytest.raises(ConfigError, match="is a link"):
        read_project(found)


def test_a_path_that_is_no_text_is_refused(tree: Path) -> None:
    odd = os.fsencode(tree) + b"/home/\xff"
    Path(os.fsdecode(odd)).mkdir()
    (Path(os.fsdecode(odd)) / "mcpwrap.toml").write_text("")
    with pytest.raises(ConfigError, match="is no UTF-8 text"):
        find_project(option=None, env={}, cwd=os.fsdecode(odd), home=str(tree / "home"))


def test_going_up_from_a_folder_that_is_gone_finds_nothing(tree: Path) -> None:
    assert find(tree, "home/shop/nothing") is None


def test_where_folders_have_no_owner_it_is_not_checked(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        found = find(tree, "home/shop/sub", option=str(tree / "home/shop"))
    assert found == ("home/shop", "--project")


def test_the_caller_is_in_the_project_that_its_working_directory_lies_in(tree: Path) -> None:
    home = str(tree / "home")
    assert caller_project(cwd=str(tree / "home/shop/sub"), home=home) == str(tree / "home/shop")
    assert caller_project(cwd=str(tree / "home/plain"), home=home) is None


def test_both_files_of_a_project_are_read(tree: Path) -> None:
    shop = tree / "home/shop"
    project = Project(str(shop), str(shop / "mcpwrap.toml"), FOUND_UPWARDS)
    assert read_project(project) == (b"", None)
    (shop / "mcpwrap.lock").write_bytes(b"pins")
    assert read_project(project) == (b"", b"pins")
    (shop / "mcpwrap.toml").unlink()
    with pytest.raises(ConfigError, match=r"there is no `mcpwrap\.toml`"):
        read_project(project)


def test_a_name_with_a_nul_names_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MCPWRAP_PROJECT names no folder"):
        find_project(option=None, env={"MCPWRAP_PROJECT": "a\0b"}, cwd=str(tmp_path), home="")


def test_without_a_home_the_search_stops_nowhere_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path.resolve()
    (root / "mcpwrap.toml").write_text("")
    monkeypatch.chdir(root)
    found = find_project(option=None, env={}, cwd=str(root), home="")
    assert found is not None
    assert found.root == str(root)


def test_a_project_whose_file_is_gone_is_told_with_its_place(tmp_path: Path) -> None:
    file = str(tmp_path / "mcpwrap.toml")
    with pytest.raises(ConfigError) as caught:
        read_project(Project(str(tmp_path), file, "--project"))
    assert caught.value.place == file
