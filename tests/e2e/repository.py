"""What lies in a project before a session: the same files and commits each time."""

from __future__ import annotations

import shutil
import subprocess

from tests.e2e.parts import GIT_ENV
from tests.project import Project


def prepare(project: Project) -> None:
    """Remove what an earlier session left in the project, and put a repository and a folder with files there."""
    for path in project.root.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "mcpwrap.toml":
            path.unlink()
    work, repo = project.root / "work", project.root / "repo"
    work.mkdir()
    (work / "plan.txt").write_text("buy tea\n", encoding="utf-8")
    repo.mkdir()
    _git(project, "init", "--quiet", "--initial-branch", "main")
    for number, text in enumerate(("hello\n", "hello\nthere\n"), 1):
        (repo / "readme.txt").write_text(text, encoding="utf-8")
        _git(project, "add", ".")
        _git(project, "commit", "--quiet", "--message", f"Commit {number}")
    (repo / "readme.txt").write_text("hello\nyou\n", encoding="utf-8")
    (repo / "notes.txt").write_text("a note\n", encoding="utf-8")


def _git(project: Project, *args: str) -> None:
    env = {**project.env, **GIT_ENV}
    subprocess.run(["git", *args], cwd=project.root / "repo", env=env, check=True, timeout=60, stdin=subprocess.DEVNULL)
