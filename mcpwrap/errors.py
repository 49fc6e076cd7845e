"""The tree of errors that a person may see.

    McpwrapError
    ├── UsageError            the command line is wrong                                   exit 2
    ├── ConfigError           a file can't be used; says file, line and key               exit 2
    ├── UntrustedError        a project, a command or a pair of projects isn't trusted    exit 3
    ├── RefusedError          mcpwrap won't do this here (an agent's shell, no terminal)  exit 3
    ├── StateError            our own state or audit folder can't be used                 exit 1
    │   └── VaultError        the key of the installation, or what it seals, can't be used exit 1
    └── LoginError            a login can't be made, renewed or used                      exit 1

Each carries the fact (``str(error)``: lower case, one fact), a ``hint`` with the remedy, and the exit code of POLICY.md §7.
``cli/main.py`` is the only place that prints them.
"""

from __future__ import annotations


class McpwrapError(Exception):
    """Something that a person can mend: a fact, a remedy, an exit code."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(McpwrapError):
    """The command line can't be understood or can't be done here."""

    exit_code = 2


class ConfigError(McpwrapError):
    """A configuration file can't be used.

    ``file`` is the path as people know it, ``line`` and ``column`` count from 1 (0: unknown), ``excerpt`` is the offending line.
    """

    exit_code = 2

    def __init__(self, message: str, *, file: str = "", line: int = 0, column: int = 0, excerpt: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.line = line
        self.column = column
        self.excerpt = excerpt

    @property
    def place(self) -> str:
        """``file:line:column``, as far as it is known."""
        if not self.file:
            return ""
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


class UntrustedError(McpwrapError):
    """What was asked for was not trusted by a person."""

    exit_code = 3


class RefusedError(McpwrapError):
    """A command that only a person may give was given by something else."""

    exit_code = 3


class StateError(McpwrapError):
    """A folder or file of mcpwrap's own can't be used safely."""


class VaultError(StateError):
    """The key of the installation can't be had, or what it sealed doesn't count."""


class LoginError(McpwrapError):
    """A login can't be made, renewed or used; the provider's own words may stand in it, spelled out."""
