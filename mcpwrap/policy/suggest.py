"""What a starting file says about a server that was just asked what it has (`mcpwrap init`).

Tools whose names say that they read are allowed, the rest is asked for. What a server says of itself (annotations) may tighten;
where it alone loosens, the file says so. All that comes from the server is untrusted text: it is spelled out, shortened, and stands
in comments on one line, or as a pattern of plain characters; a name that isn't plain is never allowed.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from mcpwrap.core.listing import OWN_PREFIX
from mcpwrap.core.pins import suspicious
from mcpwrap.core.redact import sounds_secret
from mcpwrap.core.rules import Outcome
from mcpwrap.core.visible import INVISIBLE, spell_out
from mcpwrap.policy.names import changes, reads, secretive, words_of
from mcpwrap.policy.shape_identity import may_be_credential

COMMENT_LIMIT: Final = 100
"""Longest quotation of a server in a comment, in characters."""

_NAME_LIMIT: Final = 128
"""Longest name that is written as a pattern, in characters (MCP 2025-11-25, server/tools: 1 to 128)."""

_LITERAL_URIS: Final = 50
"""Most URIs that are written one by one; where a server lists more, their schemes are."""

_KEYS: Final = 3
"""Most variables that a file says how to keep."""

_EVERYBODYS: Final = frozenset(
    {"mcp", "server", "servers", "npx", "uvx", "node", "python", "com", "org", "the"}
    | {"api", "key", "token", "access", "secret", "password", "auth"}
)
"""Words that say nothing about which server is meant."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./ -]+")
_PLAIN_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9_./:@~%?=&#,;+-]+")
_TEMPLATE: Final = re.compile(r"\{[^{}]*\}")


class Offered(msgspec.Struct, frozen=True):
    """What a server said that it has: the definitions as they came, and how it calls itself."""

    title: str
    tools: tuple[Mapping[str, Any], ...] = ()
    prompts: tuple[Mapping[str, Any], ...] = ()
    resources: tuple[Mapping[str, Any], ...] = ()
    templates: tuple[Mapping[str, Any], ...] = ()


class Advice(msgspec.Struct, frozen=True):
    """One name with what the file says about it; `effect` None: it isn't in the file. `why` is a comment, "" where it is plain."""

    name: str
    effect: Outcome | None
    why: str
    says: str = ""
    """the server's own description"""


def advise_tools(tools: Sequence[Mapping[str, Any]]) -> list[Advice]:
    """What to do with each tool, in the server's order."""
    counts = Counter(str(tool.get("name")) for tool in tools)
    shared = _shared_word([str(tool.get("name")) for tool in tools])
    found: dict[str, Advice] = {}
    for tool in tools:
        name = str(tool.get("name"))
        effect, why = _judge(name, tool.get("annotations"), twice=counts[name] > 1, shared=shared)
        if effect is Outcome.ALLOW and (deceives := suspicious(tool, "tool", name)):
            effect, why = Outcome.ASK, f"{deceives}; it stays hidden until `mcpwrap pins accept`"
        found.setdefault(name, Advice(name, effect, why, _said(tool)))
    return list(found.values())


def _judge(name: str, annotations: object, *, twice: bool, shared: str) -> tuple[Outcome | None, str]:
    if why := _unwritable(name):
        return None, why
    if twice:
        return None, "it is offered twice under one name"
    if name.startswith(OWN_PREFIX):
        return None, "names that begin with `mcpwrap_` are mcpwrap's own; it stays hidden"
    hints = annotations if isinstance(annotations, Mapping) else {}
    words = words_of(name, shared=shared)
    read_only, destructive = hints.get("readOnlyHint"), hints.get("destructiveHint")
    if not name.isascii():
        return Outcome.ASK, "its name has characters that may look like others"
    if destructive is True:
        return Outcome.ASK, "may destroy, by the server's own word (destructiveHint)"
    if secretive(words):
        return Outcome.ASK, "its name speaks of secrets"
    if changes(words):
        more = ", though the server says that it only reads (readOnlyHint)" if read_only is True else ""
        return Outcome.ASK, f"its name says that it changes something{more}" if more else ""
    if reads(words):
        if read_only is False:
            return Outcome.ASK, "its name says that it reads, the server says that it changes something (readOnlyHint = false)"
        return Outcome.ALLOW, ""
    if read_only is True:
        return Outcome.ALLOW, "by the server's own word (readOnlyHint); its name doesn't say so"
    return Outcome.ASK, ""


def _unwritable(name: str) -> str:
    """Why `name` can't stand as a pattern; "" where it can."""
    if INVISIBLE.search(name):
        return "its name has hidden characters"
    if not name or len(name) > _NAME_LIMIT:
        return "its name is empty or too long"
    if name.isascii() and not _PLAIN.fullmatch(name):
        return "its name has characters that mean something in a pattern; write a regular expression for it"
    if not name.isascii() and not all(c.isalnum() or c in "_./ -" for c in name):
        return "its name has characters that can't be told apart from others"
    return ""


def _shared_word(names: Sequence[str]) -> str:
    """The word that all names begin with (the server's own name, mostly); "" where there is none."""
    firsts = {next(iter(words_of(name)), "") for name in names}
    return firsts.pop() if len(firsts) == 1 and len(names) > 1 else ""


def _said(definition: Mapping[str, Any]) -> str:
    text = definition.get("description")
    return " ".join(text.split()) if isinstance(text, str) else ""


def advise_prompts(prompts: Sequence[Mapping[str, Any]]) -> list[Advice]:
    """What to do with each prompt: it is text that a person chooses, so a plain name is allowed."""
    counts = Counter(str(prompt.get("name")) for prompt in prompts)
    found: dict[str, Advice] = {}
    for prompt in prompts:
        name = str(prompt.get("name"))
        why = _unwritable(name) or ("it is offered twice under one name" if counts[name] > 1 else "")
        effect = None if why else Outcome.ALLOW if name.isascii() else Outcome.ASK
        found.setdefault(name, Advice(name, effect, why, _said(prompt)))
    return list(found.values())


def advise_resources(resources: Sequence[Mapping[str, Any]], templates: Sequence[Mapping[str, Any]]) -> list[Advice]:
    """What to do with resources: those that are listed are allowed; files, and what a template may reach, are asked for."""
    found: dict[str, Advice] = {}
    uris = [str(resource.get("uri")) for resource in resources]
    grouped = len(set(uris)) > _LITERAL_URIS
    for resource, uri in zip(resources, uris, strict=True):
        if not _PLAIN_URI.fullmatch(uri) or len(uri) > 1024:
            found.setdefault(uri, Advice(uri, None, "its URI has characters that mean something in a pattern, or that are hidden"))
        elif uri[:5].lower() == "file:":
            found.setdefault("file", Advice("file://${project}/**", Outcome.ASK, "files that it lists, those of the project"))
        elif grouped:
            scheme = uri.partition(":")[0] + ":"
            found.setdefault(scheme, Advice(scheme + "**", Outcome.ALLOW, "everything of that scheme: there are many"))
        else:
            found.setdefault(uri, Advice(uri, Outcome.ALLOW, "", _said(resource)))
    for template in templates:
        text = str(template.get("uriTemplate"))
        # `**`: a value may hold slashes
        pattern = _TEMPLATE.sub("**", text)
        if not _PLAIN_URI.fullmatch(pattern.replace("*", "x")) or len(text) > 1024:
            found.setdefault(text, Advice(text, None, "its template can't be written as a pattern"))
        else:
            found.setdefault(pattern, Advice(pattern, Outcome.ASK, f"template {text}", _said(template)))
    return list(found.values())


class Suggestion(msgspec.Struct, frozen=True):
    """What to write for one server: the text of its tables, and what it rests on."""

    text: str
    tools: tuple[Advice, ...]
    prompts: tuple[Advice, ...]
    resources: tuple[Advice, ...]

    @property
    def left_out(self) -> tuple[Advice, ...]:
        """What the file doesn't let in at all, and why."""
        return tuple(a for a in (*self.tools, *self.prompts, *self.resources) if a.effect is None)


def definition(name: str, command: Sequence[str], inherit_env: Sequence[str], keys: Sequence[str] = ()) -> str:
    """The table of a server that nothing is allowed of; for each variable of `keys`, how the vault would deliver it."""
    lines = [f"[servers.{_key(name)}]", f"command = {_array(command)}"]
    if inherit_env:
        lines.append(f"inherit_env = {_array(inherit_env)}")
    for key in keys:
        instead = " instead of `inherit_env`" if key in inherit_env else ""
        lines.append(f"# {key} from the vault{instead}, once `mcpwrap secret set {name} {key}` keeps it:")
        lines.append(f'# credentials.{key} = {{ secret = "{key}" }}')
    return "\n".join(lines) + "\n"


def keys_for(name: str, command: Sequence[str], inherit_env: Sequence[str], variables: Iterable[str]) -> tuple[str, ...]:
    """Those of `inherit_env`, and of the person's own `variables`, that sound like a key of this server and may be a credential.

    One of the person's own has to have a word in common with the server's name or command: others are none of its business.
    """
    about = {word.lower() for text in (name, *command) for word in re.findall(r"[A-Za-z0-9]{3,}", text)} - _EVERYBODYS
    related = [each for each in sorted(variables) if about & {word.lower() for word in each.split("_")}]
    fitting = (each for each in dict.fromkeys((*inherit_env, *related)) if sounds_secret(each) and may_be_credential(each))
    return tuple(fitting)[:_KEYS]


def suggest(
    name: str,
    command: Sequence[str],
    offered: Offered,
    *,
    inherit_env: Sequence[str] = (),
    keys: Sequence[str] = (),
    quoting: bool = True,
) -> Suggestion:
    """The tables for the server `name`; `quoting` False leaves the server's descriptions out (for a file of bounded size)."""
    tools, prompts = advise_tools(offered.tools), advise_prompts(offered.prompts)
    resources = advise_resources(offered.resources, offered.templates)
    base = f"servers.{_key(name)}"
    lines = [
        f"# {_comment(offered.title) or 'a server without a name'}, as it described itself to `mcpwrap init`.",
        "# Quotations are its own words, and nothing that was checked. Change what you like; it counts after `mcpwrap trust`.",
        definition(name, command, inherit_env, keys).rstrip(),
    ]
    lines += _lists(
        tools, quoting, allow="tools whose names say that they only read", ask="the rest: a person is asked before each call"
    )
    if not tools:
        lines.append("# It has no tools.")
    if resources:
        lines += ["", f"[{base}.resources]"]
        lines += _lists(resources, quoting, allow="what it listed", ask="files, and what templates reach: a person is asked")
    if prompts:
        lines += ["", f"[{base}.prompts]"]
        lines += _lists(prompts, quoting, allow="prompts are texts that you choose", ask="a person is asked")
    lines += [
        "",
        "# What it may ask of your client (sampling, elicitation, roots): nothing.",
        f"# [{base}.server_requests]",
        '# allow = ["roots"]',
    ]
    return Suggestion("\n".join(lines) + "\n", tuple(tools), tuple(prompts), tuple(resources))


def _lists(advice: Iterable[Advice], quoting: bool, *, allow: str, ask: str) -> list[str]:
    all_of_it = list(advice)
    lines: list[str] = []
    for effect, heading in ((Outcome.ALLOW, allow), (Outcome.ASK, ask)):
        chosen = [a for a in all_of_it if a.effect is effect]
        if not chosen:
            continue
        lines += [f"# {heading}", f"{effect.label} = ["]
        lines += _entries(chosen, quoting)
        lines.append("]")
    for left in (a for a in all_of_it if a.effect is None):
        lines.append(f"# left out: {_quoted(left.name)}: {_comment(left.why)}")
    return lines


def _entries(advice: Sequence[Advice], quoting: bool) -> list[str]:
    texts = [f"  {_string(a.name)}," for a in advice]
    width = min(max(map(len, texts)), 48)
    lines: list[str] = []
    for text, each in zip(texts, advice, strict=True):
        comment = "; ".join(part for part in (_comment(each.why), _quoted(each.says) if quoting and each.says else "") if part)
        lines.append(f"{text.ljust(width)}  # {comment}" if comment else text)
    return lines


def _comment(text: str) -> str:
    return spell_out(text, limit=COMMENT_LIMIT)


def _quoted(text: str) -> str:
    return f'"{_comment(text)}"'


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _string(name)


def _array(elements: Sequence[str]) -> str:
    return f"[{', '.join(map(_string, elements))}]"


def _string(text: str) -> str:
    # a basic string of TOML is one of JSON; what can't be seen, and DEL, is escaped in TOML's way
    return INVISIBLE.sub(lambda found: f"\\U{ord(found[0]):08x}", json.dumps(text, ensure_ascii=False))


def portable(command: Sequence[str], *, root: str, home: str) -> tuple[str, ...]:
    """`command` with ``${project}`` and ``${home}`` where an element names the project's or the home folder, or a path in it."""
    return tuple(_put_in(_put_in(element, root, "${project}"), home, "${home}") for element in command)


def _put_in(element: str, folder: str, variable: str) -> str:
    if len(folder) < 2 or "${" in folder:
        return element
    before, at, value = ("", "", element) if not element.startswith("-") else element.partition("=")
    if value == folder or value.startswith(folder + os.sep):
        return f"{before}{at}{variable}{value[len(folder) :]}"
    return element


def name_for(command: Sequence[str]) -> str:
    """A short name for the server that `command` starts: its package's or program's, without what all servers are called."""
    words = [word for word in command if not word.startswith("-")]
    chosen = next((word for word in words if re.search(r"mcp|server", word, re.IGNORECASE)), words[-1] if words else "")
    bare = re.split(r"[/\\]", chosen.rstrip("/\\"))[-1]
    bare = re.sub(r"(?<=.)(@|==).*$", "", bare)
    bare = re.sub(r"\.(py|js|mjs|cjs|ts|sh|exe|cmd|bat)$", "", bare, flags=re.IGNORECASE)
    bare = re.sub(r"^(mcp[-_]server|server|mcp)[-_]|[-_](mcp[-_]server|server|mcp)$", "", bare, flags=re.IGNORECASE)
    bare = re.sub(r"[^A-Za-z0-9._-]+", "-", bare).strip("-._")[:32]
    return bare.lower() or "server"
