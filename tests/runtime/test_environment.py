"""What of the client's environment reaches a server (POLICY.md §5 and §7)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mcpwrap.runtime.environment import minimal_environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the names and paths are POSIX ones")

SAFE = {
    "PATH": "/usr/bin",
    "HOME": "/home/ann",
    "USER": "ann",
    "LOGNAME": "ann",
    "SHELL": "/bin/sh",
    "LANG": "C.UTF-8",
    "LC_TIME": "C",
    "TZ": "UTC",
    "TMPDIR": "/tmp",
    "TERM": "dumb",
}


def test_a_server_gets_the_safe_list_and_the_rest_is_withheld_by_name() -> None:
    client = {**SAFE, "GITHUB_TOKEN": "t", "NODE_OPTIONS": "--require x", "LD_PRELOAD": "x.so", "MCPWRAP_PROJECT": "/p"}
    kept, withheld = minimal_environment(client, [], {}, "/project")
    assert kept == SAFE
    assert withheld == {"GITHUB_TOKEN", "NODE_OPTIONS", "LD_PRELOAD", "MCPWRAP_PROJECT"}


def test_what_the_policy_names_is_passed_and_what_it_sets_wins() -> None:
    client = {"HTTPS_PROXY": "http://proxy", "LOG_LEVEL": "debug", "OTHER": "x"}
    kept, withheld = minimal_environment(client, ["HTTPS_PROXY", "ABSENT"], {"LOG_LEVEL": "info", "MORE": "y"}, "/project")
    assert kept == {"HTTPS_PROXY": "http://proxy", "LOG_LEVEL": "info", "MORE": "y"}
    assert withheld == {"OTHER"}


def test_names_are_exact_in_case() -> None:
    kept, withheld = minimal_environment({"Home": "/x", "lc_all": "C", "https_proxy": "p"}, ["HTTPS_PROXY"], {}, "/project")
    assert kept == {}
    assert withheld == {"Home", "lc_all", "https_proxy"}


def test_values_that_a_shell_may_take_for_a_function_are_withheld() -> None:
    function = "() { :; }; echo"
    kept, withheld = minimal_environment({"TERM": function, "MINE": function}, ["MINE"], {}, "/project")
    assert kept == {}
    assert withheld == {"TERM", "MINE"}


def test_of_path_what_is_empty_relative_or_inside_the_project_is_taken_out(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "bin").mkdir(parents=True)
    (tmp_path / "beside").symlink_to(project / "bin")
    (tmp_path / "project-tools").mkdir()
    (project / "out").symlink_to("/usr/bin")
    path = ["", "bin", ".", "~/bin", str(project), str(project / "bin"), str(project / "out"), str(tmp_path / "beside")]
    good = ["/usr/bin", str(tmp_path / "project-tools"), str(tmp_path / "absent")]
    client = {"PATH": os.pathsep.join([*path[:4], *good, *path[4:]])}
    kept, withheld = minimal_environment(client, [], {}, str(project))
    assert kept["PATH"].split(os.pathsep) == good
    assert withheld == frozenset()


def test_a_path_that_the_policy_sets_is_cleaned_as_well() -> None:
    kept, _ = minimal_environment({"PATH": "/usr/bin"}, [], {"PATH": "/project/bin:/opt/bin:."}, "/project")
    assert kept["PATH"] == "/opt/bin"


def test_a_path_of_which_nothing_is_left_is_absent_since_an_empty_one_means_the_working_folder() -> None:
    kept, _ = minimal_environment({"PATH": ".:/project/bin"}, [], {}, "/project")
    assert "PATH" not in kept
