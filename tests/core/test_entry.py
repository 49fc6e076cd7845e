"""An entry says what it was given and nothing else."""

from __future__ import annotations

import msgspec

from mcpwrap.core.entry import Entry


def test_what_an_entry_wasnt_given_is_empty_and_not_written() -> None:
    bare = Entry("call", "client", "tools/call")
    assert msgspec.json.decode(msgspec.json.encode(bare)) == {"event": "call", "direction": "client", "method": "tools/call"}
    rest = {name: getattr(bare, name) for name in Entry.__struct_fields__[3:]}
    assert rest.pop("reasons") == ()
    assert rest.pop("arguments") is msgspec.UNSET
    assert {name for name, value in rest.items() if value == ""} == {
        *("outcome", "ref", "tool", "uri", "prompt", "task", "status", "trace", "note"),
    }
    assert {name for name, value in rest.items() if value is None} == {
        *("request_id", "duration_ms", "result_bytes", "client", "counts"),
    }
