"""Definitions that deceive whoever reads them: characters nobody sees, and names that look like others (POLICY.md §4).

What is said here holds a definition back even on first sight, where nothing was accepted yet that it could differ from. A person
who was shown it with everything spelled out may still accept it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from mcpwrap.core.patterns import NAME_LIMIT
from mcpwrap.core.visible import INVISIBLE

_EMOJI: Final = (
    "\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2934\u2935\u2b05-\u2b55\u3030\u303d"
    "\u3297\u3299\U0001f000-\U0001faff"
)

_HARMLESS: Final = re.compile(f"[{_EMOJI}]\ufe0f?(?:\u200d[{_EMOJI}]\ufe0f?)*|[0-9#*]\ufe0f\u20e3")
"""Emoji as keyboards write them: a sign for its coloured form, or several joined to one. Descriptions are full of them."""

_LAYOUT: Final = {ord(c): None for c in "\t\n\r"}
"""What a description may hold besides: a person sees where a line ends."""

_LIKE: Final = str.maketrans(
    "аеорсухіјѕһԁԛԝѵгвнкмтьӏАВЕКМНОРСТУХІЈЅԌԚԜӀ"
    "αεικνορτυχγηωϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"
    "օսոհցզՍՕԼıɡɑɩɪʟᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢꜱⅼ"
    "ᎪᏴᏟᎠᎬᏀᎻᎫᏦᏞᎷᏢᏚᎢᏙᎳᏃ"
    "‐‑‒–—−⁃",
    "aeopcyxijshdqwvrbhkmtblABEKMHOPCTYXIJSGQWl"
    "aeikvoptuxynwcjABEZHIKMNOPTYX"
    "ounhgqUOLigaiilacdejkmoptuvwzsl"
    "ABCDEGHJKLMPSTVWZ"
    "-------",
)
"""Letters that look like ASCII ones (a choice of Unicode's confusables, UTS #39: what a reader of Latin text takes for Latin)."""

_DIGITS: Final = str.maketrans("01i", "oll")

_TOO_LONG: Final = f"its name is longer than {NAME_LIMIT} characters"

_MARKS_LIMIT: Final = 30
"""Most combining marks in a row: no writing has more (UAX #15, Stream-Safe Text Format), and sorting takes the square of them."""

_TOGETHER: Final = frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "BOPOMOFO", "HANGUL"})
"""Scripts that stand in one word in the languages of East Asia (UTS #39, highly restrictive)."""


def disguised(name: str) -> str:
    """Why `name` may not be what it looks like; "" where it is.

    NOTE: a name in one script that isn't Latin, and doesn't imitate it, is what it is.
    """
    if len(name) > NAME_LIMIT:
        return _TOO_LONG
    if found := INVISIBLE.search(name):
        return f"its name holds the hidden character U+{ord(found[0]):04X}"
    if name.isascii():
        return ""
    import unicodedata  # noqa: PLC0415 - only for a name that isn't ASCII

    if _piled(name):
        return f"its name has more than {_MARKS_LIMIT} marks on one letter"
    if unicodedata.normalize("NFKC", name) != name:
        return "its name holds characters that stand for others (it isn't its own NFKC)"
    if (plain := name.translate(_LIKE)).isascii():
        return f"its name only looks like `{plain}`"
    scripts = {unicodedata.name(c, "?").split(" ", 1)[0] for c in name if c.isalpha()}
    if len(scripts) > 1 and not scripts <= _TOGETHER:
        return "its name mixes letters of several scripts"
    return ""


def skeleton(name: str) -> str:
    """What is left of `name` for somebody who reads quickly: two names of one skeleton are easily taken for each other."""
    if not name.isascii():
        import unicodedata  # noqa: PLC0415 - only for a name that isn't ASCII

        if _piled(name):
            name = "".join(c for c in name if not unicodedata.combining(c))
        name = unicodedata.normalize("NFKC", name).translate(_LIKE)
    name = INVISIBLE.sub("", name).casefold()
    return re.sub(r"[\W_]", "", name).replace("rn", "m").translate(_DIGITS)


def _piled(name: str) -> bool:
    """True where more than `_MARKS_LIMIT` marks stand in a row in `name`, before or after it is taken apart."""
    import unicodedata  # noqa: PLC0415 - only for a name that isn't ASCII

    row = 0
    for c in name:
        for each in unicodedata.normalize("NFKD", c):
            row = row + 1 if unicodedata.combining(each) else 0
            if row > _MARKS_LIMIT:
                return True
    return False


class Others:
    """The names of tools of a project's other servers, perhaps with their digests."""

    def __init__(self, names: Collection[str]) -> None:
        self._digests: Mapping[str, object] = names if isinstance(names, Mapping) else dict.fromkeys(names)
        self._skeletons: dict[str, str] | None = None

    def imitated(self, name: str, found: str | None) -> str:
        """Why a tool `name` with the digest `found` (None: not known yet) may be taken for another server's; "" where it isn't.

        One that is the same by its digest is no imitation: it is the same server, started twice.
        """
        if not self._digests:
            return ""
        if len(name) > NAME_LIMIT:
            return _TOO_LONG
        if name in self._digests:
            same = found is not None and self._digests[name] == found
            return "" if same else "another server of this project has a tool of that name"
        if self._skeletons is None:
            self._skeletons = {skeleton(other): other for other in self._digests if len(other) <= NAME_LIMIT}
        other = self._skeletons.get(skeleton(name))
        return f"its name looks like `{other}`, a tool of another server of this project" if other else ""


def hidden_in(definition: Any) -> str:
    """The first character in any string of `definition` that a person can't see, as ``U+200B``; "" where there is none."""
    for text, is_key in _strings(definition):
        if text.isascii() and text.isprintable():
            continue
        seen = text if is_key else _HARMLESS.sub("", text).translate(_LAYOUT)
        if found := INVISIBLE.search(seen):
            return f"U+{ord(found[0]):04X}"
    return ""


def _strings(value: Any) -> Iterator[tuple[str, bool]]:
    """Every string in `value` at any depth, and whether it is a key."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text, False
            case dict() as members:
                for key in members:
                    yield key, True
                left.extend(members.values())
            case list() as items:
                left.extend(items)
            case _:
                pass
