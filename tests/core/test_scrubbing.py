from __future__ import annotations

import msgspec

from mcpwrap.core.commands import Announce, Record, ToClient
from mcpwrap.core.entry import Entry
from mcpwrap.core.redact import Known
from mcpwrap.core.rules import Reason
from mcpwrap.core.scrubbing import scrubbed
from mcpwrap.secret import Secret

KNOWN = Known([Secret("the-secret-one")])


def test_every_text_of_a_record_is_looked_at() -> None:
    texts = ("method", "request_id", "tool", "uri", "prompt", "task", "trace", "note")
    entry = Entry("call", "client", "x", reasons=(Reason("f", 1, "deny", "no the-secret-one"), Reason("f", 2, "deny", "no")))
    for name in texts:
        entry = msgspec.structs.replace(entry, **{name: "a the-secret-one b"})
    found = scrubbed(Record(entry), KNOWN)
    assert isinstance(found, Record)
    assert [getattr(found.entry, name) for name in texts] == ["a [redacted] b"] * len(texts)
    assert found.entry.reasons == (Reason("f", 1, "deny", "no [redacted]"), Reason("f", 2, "deny", "no"))


def test_what_holds_no_secret_is_left_as_it_is() -> None:
    for command in (Record(Entry("call", "client", "x", request_id=1)), ToClient(b"the-secret-one")):
        assert scrubbed(command, KNOWN) is command
    assert scrubbed(Announce("tell the-secret-one"), KNOWN) == Announce("tell [redacted]")
