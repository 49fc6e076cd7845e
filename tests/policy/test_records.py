"""Records of another version are none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mcpwrap.errors import StateError
from mcpwrap.policy.records import CommandRecord, TrustRecord
from mcpwrap.policy.sealed import decode


@pytest.mark.parametrize(
    "record",
    [CommandRecord("f", ("x",), "/x", None, (), {}), TrustRecord("/p", "", "", None, (), (), "", 1)],
    ids=["command", "trust"],
)
def test_a_record_with_a_field_of_another_version_is_none(record: Any) -> None:
    data = msgspec.json.encode(record)
    assert decode(data, type(record)) == record
    with pytest.raises(StateError, match="another version of mcpwrap wrote it"):
        decode(data[:-1] + b',"more":1}', type(record))
