"""The JSON Schema of each file says what the check says."""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcpwrap.errors import ConfigError
from mcpwrap.policy.load import json_schema, load_project, load_site, load_user
from mcpwrap.policy.schema import _schema
from mcpwrap.policy.shape import FILES, Which
from mcpwrap.policy.shape_kinds import Elsewhere, Later, Named, Table
from tests.policy.test_conditional import SAMPLE
from tests.policy.test_credentials import BY_CHECK_ONLY as CREDENTIALS_BY_CHECK_ONLY
from tests.policy.test_credentials import FULL as FULL_IDENTITY
from tests.policy.test_credentials import FULL_USER, USER_BY_CHECK_ONLY, USER_MISTAKES
from tests.policy.test_credentials import MISTAKES as CREDENTIAL_MISTAKES
from tests.policy.test_load import FULL, MISTAKES

WHICH: list[Which] = ["project", "user", "site"]


@pytest.mark.parametrize("which", WHICH)
def test_a_schema_is_json_and_names_its_draft(which: Which) -> None:
    schema = json_schema(which)
    assert msgspec.json.decode(msgspec.json.encode(schema)) == schema
    assert schema["$schema"].startswith("https://json-schema.org/draft/2020-12")
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False


def compare(shape: Table, schema: dict[str, Any]) -> None:
    obeyed = {key: value for key, value in shape.keys.items() if not isinstance(value, Later | Elsewhere)}
    assert schema["properties"].keys() == obeyed.keys()
    assert schema["additionalProperties"] is False
    for key, value in obeyed.items():
        assert schema["properties"][key].get("description")
        if isinstance(value, Table):
            compare(value, schema["properties"][key])
        elif isinstance(value, Named):
            each = schema["properties"][key]["additionalProperties"]
            compare(value.other, each["else"] if value.own else each)
            if value.own:
                compare(value.own, each["then"])


@pytest.mark.parametrize("which", WHICH)
def test_a_schema_has_the_keys_that_this_version_obeys_and_no_other(which: Which) -> None:
    compare(FILES[which], json_schema(which))


@pytest.mark.parametrize("which", WHICH)
def test_every_top_level_key_of_a_schema_is_taken_by_the_file(which: Which) -> None:
    for key, schema in json_schema(which)["properties"].items():
        value = "1" if "const" in schema else '{ issuer = "https://a.example" }' if schema.get("required") == ["issuer"] else "{}"
        data = f"{key} = {value}".encode()
        match which:
            case "project":
                load_project(data, file="f", root="/s", home="/h")
            case "user":
                load_user(data, file="f", home="/h")
            case "site":
                load_site(data, file="f", home="/h")


def test_what_is_not_obeyed_would_be_a_schema_that_nothing_fits() -> None:
    assert _schema(Later("later")) == {"not": {}}


def test_a_key_that_no_schema_has_is_refused() -> None:
    with pytest.raises(ConfigError):
        load_user(b"approval = {}", file="f", home="/h")
    assert "approval" not in json_schema("user")["properties"]


BY_CHECK_ONLY = (
    # patterns, substitutions and expressions
    "when = ",
    "${",
    '"docs"',
    "http://",
    '"^(',
    '"!"',
    '"!a"',
    '[""]',
    "max = nan",
    # what depends on several keys, or on tables of the specification
    "'a','a'",
    ".extra_methods]",
    ".server_requests]",
    # paths
    "./run.sh",
    '"sub"',
    "u0000b",
)
"""Parts of the mistakes that a schema can't see."""


def fits(text: str, which: Which = "project") -> bool:
    validator = pytest.importorskip("jsonschema").Draft202012Validator(json_schema(which))
    return bool(validator.is_valid(tomllib.loads(text)))


@pytest.mark.parametrize("which", WHICH)
def test_a_schema_is_one(which: Which) -> None:
    pytest.importorskip("jsonschema").Draft202012Validator.check_schema(json_schema(which))


def test_a_schema_takes_what_the_check_takes() -> None:
    assert fits(SAMPLE)
    assert fits(FULL.decode())
    assert fits(FULL_IDENTITY)
    assert fits(FULL_USER, "user")
    assert not fits('[[servers.f.tests]]\nexpect = "deny"\n')
    rule = '[[servers."*".rules]]\nask = ["x"]\nargs."a.b" = { one_of = [1, "a", true], max = 2.5, host = ["*.example.com"] }\n'
    assert fits(rule, "user")
    assert fits(rule, "site")


@pytest.mark.parametrize("text", MISTAKES)
def test_a_schema_refuses_each_mistake_that_it_can_see(text: str) -> None:
    assert fits(text) is any(part in text for part in BY_CHECK_ONLY)


@pytest.mark.parametrize("text", CREDENTIAL_MISTAKES)
def test_a_schema_refuses_each_mistake_about_credentials_that_it_can_see(text: str) -> None:
    assert fits(text) is any(part in text for part in CREDENTIALS_BY_CHECK_ONLY)


@pytest.mark.parametrize("text", USER_MISTAKES)
def test_the_schema_of_the_persons_own_file_refuses_each_mistake_that_it_can_see(text: str) -> None:
    assert fits(text, "user") is any(part in text for part in USER_BY_CHECK_ONLY)


@pytest.mark.parametrize("which", ["user", "site"])
def test_the_schema_of_a_file_that_tightens_admits_nothing(which: Which) -> None:
    assert not fits('[[servers."*".rules]]\nallow = ["x"]\n', which)
    assert not fits('[[servers."*".rules]]\nargs.x = { max = 1 }\n', which)
    assert not fits('[servers."*"]\nlimit = "3/s"\n', which)
    assert not fits('[servers."*"]\nmatch = {}\n', which)


EFFECT = st.sampled_from(['["a"]', "[]", '["a", "!b"]', '"a"', '["a", 7]'])
KEYS: dict[str, st.SearchStrategy[str]] = {
    "allow": EFFECT,
    "log": EFFECT,
    "ask": EFFECT,
    "deny": EFFECT,
    "args": st.sampled_from(["{}", "{ x = {} }", "{ x = { max = 1 } }", "{ x = { one_of = [] } }", '{ x = { within = "" } }', "7"]),
    "unless": st.sampled_from(["{ x = { host = [] } }", '{ x = { host = "a.example" } }', "{ x = { max = true } }", "{ x = 1 }"]),
    "when": st.sampled_from(['"true"', '""', "true"]),
    "reason": st.sampled_from(['"why"', '""', "[]", f'"{"w" * 500}"', f'"{"w" * 501}"']),
    "limit": st.sampled_from(['"3/s"', '"0/s"', '"3/day"', '"99999/session"', '"100000/h"', '""', "3"]),
    "max_result_bytes": st.sampled_from(["1", "0", "-1", "1.5", "true", '"1"', "99999999999999999999"]),
    "over": st.sampled_from(['"ask"', '"deny"', '"allow"', '""', "true"]),
}


@given(
    keys=st.sets(st.sampled_from(sorted(KEYS)), max_size=5).flatmap(
        lambda names: st.fixed_dictionaries({k: KEYS[k] for k in names})
    ),
    header=st.sampled_from(["[servers.f]", "[[servers.f.rules]]", "[[servers.f.prompts.rules]]", "[[servers.f.resources.rules]]"]),
)
@example(keys={"over": '"ask"'}, header="[servers.f]")
@example(keys={"allow": '["a"]', "over": '"ask"'}, header="[[servers.f.rules]]")
@example(keys={"allow": '["a"]', "over": '"ask"', "max_result_bytes": "1"}, header="[[servers.f.rules]]")
@example(keys={"deny": '["a"]', "limit": '"3/s"'}, header="[[servers.f.rules]]")
@example(keys={"deny": '["a"]', "limit": '"3/s"'}, header="[servers.f]")
@example(keys={"deny": '["a"]', "reason": '""'}, header="[[servers.f.rules]]")
def test_the_schema_takes_a_small_rule_exactly_where_the_check_does(keys: dict[str, str], header: str) -> None:
    text = "\n".join([header, *(f"{key} = {value}" for key, value in keys.items())])
    try:
        load_project(text.encode(), file="f", root="/s", home="/h")
    except ConfigError as error:
        assert not fits(text), error
    else:
        assert fits(text)


URLS = ['"https://a.example"', '"http://[::1]:80/x"', '"https://a.example:65535/?x=1"', '"https://a.example:65536"', '""']
URLS += [
    '"https://a.example/%2"',
    '"https://a.example/%2F"',
    '"https://a_b.example"',
    '"https://a.example#"',
]
CREDENTIAL: dict[str, st.SearchStrategy[str]] = {
    "login": st.sampled_from(["{}", "{ scope = [] }", '{ scope = ["a b"] }', '{ audience = "x" }', "7"])
    | st.sampled_from(URLS).map(lambda url: f"{{ resource = {url} }}"),
    "secret": st.sampled_from(['"a"', '"a b"', '"-a"', '""', f'"{"a" * 128}"', f'"{"a" * 129}"', "[]"]),
    "minted": st.sampled_from(
        ["{}", "{ ttl_s = 5 }", "{ ttl_s = 4 }", "{ ttl_s = 300 }", "{ ttl_s = 301 }", "{ ttl_s = 5.5 }", "true"]
    ),
    "via": st.sampled_from(['"env"', '"file"', '"helper"', '"meta"', '"header"', '"ENV"', "1"]),
    "header": st.just('"Authorization"'),
}
PROFILE: dict[str, st.SearchStrategy[str]] = {
    "issuer": st.sampled_from(URLS),
    "client_id": st.sampled_from(['"a"', '"a b"', '""', f'"{"a" * 513}"']),
    "flow": st.sampled_from(['"browser"', '"device"', '"client-credentials"', '"password"']),
    "resources": st.sampled_from(["[]", '"https://a.example"', '["https://a.example"]', '["a"]']),
    "scopes": st.sampled_from(["[]", '["a"]', '["\\u00e9"]', "[1]"]),
}


def some(keys: dict[str, st.SearchStrategy[str]]) -> st.SearchStrategy[dict[str, str]]:
    return st.sets(st.sampled_from(sorted(keys))).flatmap(lambda names: st.fixed_dictionaries({key: keys[key] for key in names}))


@given(
    keys=some(CREDENTIAL),
    name=st.sampled_from(["X", "x_1", "PATH", "path", "LC_ALL", "LD_X", "MCPWRAP_X", "SSL_CERT", "1X", "X-Y", "NODE_OPTIONSX"]),
)
def test_the_schema_takes_a_credential_exactly_where_the_check_does(keys: dict[str, str], name: str) -> None:
    text = "\n".join([f"[servers.f.credentials.{name}]", *(f"{key} = {value}" for key, value in keys.items())])
    try:
        load_project(text.encode(), file="f", root="/s", home="/h")
    except ConfigError as error:
        assert not fits(text), error
    else:
        assert fits(text)


@given(keys=some(PROFILE), name=st.sampled_from(["work", "local", "LOCAL", "locals", '"a b"']))
def test_the_schema_takes_a_profile_exactly_where_the_check_does(keys: dict[str, str], name: str) -> None:
    text = "\n".join([f"[profiles.{name}]", *(f"{key} = {value}" for key, value in keys.items())])
    try:
        load_user(text.encode(), file="f", home="/h")
    except ConfigError as error:
        assert not fits(text, "user"), error
    else:
        assert fits(text, "user")
