from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from mcpwrap.core.elicitation import FIELD_LIMIT, FORM_LIMIT, MESSAGE_LIMIT, URL_LENGTH_LIMIT, refusal, url_refusal, urls_of

SECRET = "it asks for a secret"
IMITATION = "it passes itself off as mcpwrap"
NOT_FLAT = "its form isn't a flat object of primitive values"


def form(message: str = "Choose", /, **fields: Any) -> dict[str, Any]:
    return {"message": message, "requestedSchema": {"type": "object", "properties": fields}}


def field(**members: Any) -> dict[str, Any]:
    return form(x={"type": "string", **members})


@pytest.mark.parametrize(
    "params",
    [
        form(),
        {**form(), "mode": "form", "_meta": {}, "task": {"ttl": 1}},
        form(name={"type": "string", "title": "Name", "description": "How to greet you", "format": "email", "default": "Ann"}),
        form(age={"type": "integer", "minimum": 0}, part={"type": "number", "maximum": 1}, sure={"type": "boolean"}),
        form(colour={"type": "string", "enum": ["red", "green"], "enumNames": ["Red", "Green"]}),
        form(colour={"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "g"}]}),
        form(colours={"type": "array", "items": {"type": "string", "enum": ["r"]}, "minItems": 1, "default": ["r"]}),
        form(colours={"type": "array", "items": {"anyOf": [{"const": "r", "title": "Red"}]}}),
        form(level={"type": "integer", "enum": [1, 2]}, empty={"type": "string", "enum": [], "oneOf": None}),
        form(both={"type": "string", "enum": ["r", "g"], "oneOf": [{"const": "g", "title": "Green"}, {"const": "r"}]}),
        form(items={"type": "string", "items": {"type": "string"}}),
        form(note={"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Note", "default": None}),
        # what is ticked or chosen is no secret
        form(savePassword={"type": "boolean", "title": "Remember the password"}),
        form(password_policy={"type": "string"}, password={"type": "string", "enum": ["keep", "rotate"]}),
        {"message": "m", "requestedSchema": {"type": "object", "properties": {}, "title": "T", "required": [], "x-order": 1}},
    ],
)
def test_ordinary_questions_may_be_judged_by_the_policy(params: dict[str, Any]) -> None:
    assert refusal(params) == ""


@pytest.mark.parametrize("name", ["mode", "message", "requestedSchema", "url", "elicitationId"])
def test_every_name_of_a_question_has_one_spelling(name: str) -> None:
    assert refusal({**form(), name.upper(): "x"}) == "a name in it is spelled in another case"


@pytest.mark.parametrize("name", ["$schema", "type", "properties", "required", "title", "description"])
def test_every_name_of_a_form_has_one_spelling(name: str) -> None:
    schema = {"type": "object", "properties": {}}
    assert refusal({"message": "m", "requestedSchema": {**schema, name.title(): "x"}}) == NOT_FLAT


@pytest.mark.parametrize(
    "name", ["type", "title", "description", "format", "enum", "enumNames", "oneOf", "anyOf", "items", "default"]
)
def test_every_name_of_a_field_has_one_spelling(name: str) -> None:
    assert refusal(field(**{name.upper(): "x"})) == NOT_FLAT
    chosen = {"type": "string", "enum": ["r"], name.upper(): "x"}
    assert refusal(form(x={"type": "array", "items": chosen})) == NOT_FLAT


def test_texts_of_inner_fields_are_read_too() -> None:
    for name in ("title", "description"):
        inner = {"type": "string", "enum": ["r", "g"], name: "a\x1b[2J"}
        assert "control characters" in refusal(form(x={"type": "array", "items": inner}))
        assert "control characters" in refusal(field(enum=["r", "g"], **{name: "a\x1b[2J"}))


def test_examples_and_defaults_may_be_lists() -> None:
    assert refusal(field(examples=["a"], default=["b"])) == ""
    assert refusal(field(vendor=["a"])) == NOT_FLAT


def test_a_choice_that_names_no_type_may_be_typed_into() -> None:
    """A client may go by the type, and shows a box where there is none."""
    assert refusal(form(password={"enum": ["keep", "rotate"]})) == SECRET


def test_bounds_themselves_are_well() -> None:
    assert refusal({**form(), "message": "m" * MESSAGE_LIMIT}) == ""
    assert refusal(form(**{f"f{n}": {"type": "string"} for n in range(FIELD_LIMIT)})) == ""
    url = "https://a.example/"
    assert url_refusal(url + "x" * (URL_LENGTH_LIMIT - len(url))) == ""
    each = {"mode": "url", "url": url, "elicitationId": "e", "message": "m"}
    assert urls_of({"elicitations": [each] * FIELD_LIMIT}) == [each] * FIELD_LIMIT
    assert urls_of({"elicitations": [each] * (FIELD_LIMIT + 1)}) is None


@pytest.mark.parametrize(
    "name",
    [
        *("password", "Password", "userPassword", "db_password", "PASSWORD", "pass word", "passphrase", "passcode", "pwd"),
        *("token", "access_token", "accessToken", "GitHub token", "authtoken", "apiKey", "APIKey", "api-key", "API_KEY", "apikey"),
        *("secret", "clientSecret", "AWS secret access key", "private_key", "sshKey", "seedPhrase", "recovery_words", "mnemonic"),
        *("otp", "totpCode", "2fa_code", "two-factor code", "verificationCode", "oneTimeCode", "security code"),
        *("pin", "PIN code", "yourPin", "pin_number", "cardNumber", "card_no", "credit card", "cvv", "CVC2", "credentials"),
        *("Passwort", "Contraseña", "пароль", "密码"),
        # disguised
        *("p\u0430ssword", "pass\u200bword", "ｐａｓｓｗｏｒｄ", "passw0rd", "t0ken", "pássword", "T\u043eken"),
    ],
)
def test_a_field_that_takes_a_secret_is_refused_by_its_name_or_title(name: str) -> None:
    assert refusal(form(**{name: {"type": "string"}})) == SECRET
    assert refusal(field(title=name)) == SECRET


@pytest.mark.parametrize(
    "name",
    [
        *("name", "secretary", "tokenizer", "max_tokens", "token_count", "tokenLimit", "total token", "prompt token", "keyboard"),
        *("issue_key", "sort key", "passenger", "compass", "pinned", "pin_message", "spin", "opinion", "postal_code", "discard"),
        *("password_policy", "secretName", "apiKeyId", "private_key_path", "Password length", "card", "business card", "code"),
        *("encode", "country code", "", "名前"),
    ],
)
def test_a_field_that_only_sounds_like_a_secret_passes(name: str) -> None:
    assert refusal(form(**{name: {"type": "string"}})) == ""
    assert refusal(field(title=name)) == ""


def test_a_number_is_no_token_but_may_be_a_pin_or_a_cards() -> None:
    assert refusal(form(token={"type": "integer"})) == ""
    assert refusal(form(pin={"type": "integer"})) == SECRET
    assert refusal(form(card_number={"type": "number"})) == SECRET
    assert refusal(form(token={"anyOf": [{"type": "string"}, {"type": "null"}]})) == SECRET


def test_a_field_whose_format_hides_what_is_typed_is_refused() -> None:
    assert refusal(field(format="Password")) == SECRET
    assert refusal(field(format=["password"])) == NOT_FLAT


@pytest.mark.parametrize(
    "text",
    [
        "Please enter your password",
        "To continue: re-enter the database password.",
        "Provide a GitHub personal access token so that we can go on",
        "What is your API key?",
        "We need the admin credentials",
        "Hello. Paste the private key here",
        "Confirm with your passphrase",
        "please confirm with your password",
        "Share your seed phrase",
        "Tell me your secret",
        "Your password",
        "password:",
        "A verification code is required",
        "Type your PIN",
        "Enter 4-digit pin",
        "your bank pin\nthanks",
        "Enter the one-time code that we sent",
        "ΕΝΤΕR your p\u0430ss\u200bword",
        "Insert the card number",
    ],
)
def test_a_message_or_description_that_asks_for_a_secret_is_refused(text: str) -> None:
    assert refusal(form(text)) == SECRET
    assert refusal(field(description=text)) == SECRET
    schema = {"type": "object", "properties": {}, "description": text}
    assert refusal({"message": "m", "requestedSchema": schema}) == SECRET


@pytest.mark.parametrize(
    "text",
    [
        "Which token count do you want?",
        "Enter the token count",
        "Confirm that the tests pass",
        "Who is the secretary of the board?",
        "Shall I pin the message?",
        "Type a message to pin",
        "Do not enter your password here",
        "Never share your password. Which account?",
        "Confirm deleting the token ci-deploy",
        "Confirm password reset for bob?",
        "Rotate the secret?",
        "Enter a name for the secret",
        "Specify which secret to rotate",
        "Need a description of the password policy",
        "The token budget is used up; go on?",
        "Provide the input. A token of thanks follows",
        "Choose the maximum number of tokens",
    ],
)
def test_a_message_that_only_speaks_of_secrets_passes(text: str) -> None:
    assert refusal(form(text)) == ""
    assert refusal(field(description=text)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "mcpwrap: allow write_file?",
        "MCPWRAP asks",
        "Message from mcp-wrap",
        "m c p w r a p needs you",
        "mсpwrаp",
        "mcp\u200bwrap",
        "rncpwrap",
        "ｍｃｐｗｒａｐ",
        "ḿcpwrap",
        "mcpwrap_status",
        "Approve this tool call",
        "Do you allow the tool to run?",
        "Trust this project?",
        "Trust thіs folder",
        "Allow once",
        "Allow for this session",
    ],
)
def test_what_passes_for_mcpwrap_is_refused_wherever_it_stands(text: str) -> None:
    for params in (
        form(text),
        form(**{text: {"type": "string"}}),
        field(title=text),
        field(description=text),
        field(default=text),
        field(enum=["a", text]),
        field(enum=["a"], enumNames=[text]),
        form(x={"type": "array", "items": {"anyOf": [{"const": "a", "title": text}]}}),
        form(x={"type": "array", "items": {"enum": ["a"], "title": text}}),
        field(oneOf=[{"const": "a", "description": text}]),
        field(oneOf=[{"const": text}], enum=["a"]),
        {"message": "m", "requestedSchema": {"type": "object", "properties": {}, "title": text}},
        {"mode": "url", "message": text, "url": "https://a.example/"},
    ):
        assert refusal(params) == IMITATION, params


@pytest.mark.parametrize("text", ["An MCP wrapper for Jira", "Trust the process", "Allow", "Approve this pull request?", "wrap it"])
def test_what_only_sounds_like_mcpwrap_passes(text: str) -> None:
    assert refusal(form(text)) == ""


def test_mcpwraps_own_form_is_refused() -> None:
    assert refusal(form(decision={"type": "string", "enum": ["deny", "allow"]})) == IMITATION
    assert refusal(form(decision={"type": "string", "enum": ["allow", "deny"], "enumNames": ["Yes", "No"]})) == IMITATION
    assert refusal(form(decision={"type": "string", "enum": ["deny", "allow", "later"]})) == ""
    assert refusal(form(rule={"type": "string", "enum": ["deny", "allow"]})) == ""


@pytest.mark.parametrize(
    "schema",
    [
        None,
        "object",
        {"type": "array", "properties": {}},
        {"properties": {}},
        {"type": "object"},
        {"type": "object", "properties": ["x"]},
        {"type": "object", "properties": {}, "Properties": {"password": {"type": "string"}}},
        {"type": "object", "properties": {}, "allOf": [{"properties": {"password": {"type": "string"}}}]},
        {"type": "object", "properties": {}, "$defs": {}},
        *(
            {"type": "object", "properties": {"x": odd}}
            for odd in (
                "string",
                None,
                {},
                {"type": "object", "properties": {"password": {"type": "string"}}},
                {"type": "vendor"},
                {"type": "null"},
                {"type": ["string", "null"]},
                {"type": "string", "Title": "Password"},
                {"type": "string", "allOf": [{"title": "Password"}]},
                {"type": "array"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "array", "items": [{"type": "string"}]},
                {"type": "string", "enum": {"a": 1}},
                {"type": "string", "enum": ["a"], "enumNames": {"a": 1}},
                {"type": "array", "items": {"anyOf": [{"const": "a"}]}, "anyOf": [{"type": "string"}]},
                {"type": "array", "items": {"anyOf": [{"const": "a"}], "properties": {"password": {}}}},
                {"type": "array", "items": {"enum": ["a"], "Enum": ["password"]}},
                {"type": "array", "items": {"type": "integer", "enum": ["a"]}},
                {"type": "vendor", "enum": ["a"]},
                {"type": "string", "enum": ["a"], "enumNames": 7},
                {"type": "string", "oneOf": 0},
                {"type": "string", "oneOf": ["a"]},
                {"anyOf": [{"type": "null"}]},
                {"anyOf": {"type": "string"}},
                {"anyOf": ["string"]},
                {"anyOf": [{"type": "object"}]},
                {"anyOf": [{"type": "string", "allOf": []}]},
                {"anyOf": [{"const": "a"}, {}]},
            )
        ),
    ],
)
def test_a_form_that_isnt_a_flat_object_of_primitives_is_refused(schema: Any) -> None:
    assert refusal({"message": "m", "requestedSchema": schema}) == NOT_FLAT


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({**form(), "Mode": "url"}, "a name in it is spelled in another case"),
        ({**form(), "URL": "https://a.example/"}, "a name in it is spelled in another case"),
        ({"requestedSchema": {}}, "it has no message"),
        ({"message": ["m"]}, "it has no message"),
        ({**form(), "mode": "vendor"}, "its mode is unknown"),
        ({**form(), "mode": None}, "its mode is unknown"),
        ({**form(), "url": "https://a.example/"}, "it is a form and a URL at once"),
        ({**form(), "mode": "url", "url": "https://a.example/"}, "it is a form and a URL at once"),
        ({"mode": "url", "message": "m"}, "it has no URL"),
        ({"mode": "url", "message": "m", "url": "http://a.example/"}, "its URL isn't `https:`"),
        (form("m" * (MESSAGE_LIMIT + 1)), f"a text in it has more than {MESSAGE_LIMIT} characters"),
        (form("\x1b[2Jgo"), "a text in it has control characters"),
        (form("a\rb"), "a text in it has control characters"),
        (field(title="\u202egnp.exe"), "a text in it has control characters"),
        (
            form(**{f"f{n}": {"type": "string"} for n in range(FIELD_LIMIT + 1)}),
            f"its form has more than {FIELD_LIMIT} fields or {FORM_LIMIT} characters",
        ),
        (field(enum=["a" * FORM_LIMIT]), f"its form has more than {FIELD_LIMIT} fields or {FORM_LIMIT} characters"),
    ],
)
def test_an_odd_question_is_refused_with_its_reason(params: dict[str, Any], why: str) -> None:
    assert refusal(params) == why


def test_a_url_may_lead_to_where_a_secret_is_typed() -> None:
    assert refusal({"mode": "url", "message": "Enter your API key", "url": "https://a.example/k", "elicitationId": "e"}) == ""


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example/a?b=c#d",
        "HTTPS://Login.Example:8443",
        "http://localhost:8080/x",
        "http://127.0.0.1/",
        "http://127.9.9.9:1/",
        "http://[::1]:9/",
        "https://127.example.com/",
        "https://[::1]/",
    ],
)
def test_an_ordinary_url_passes(url: str) -> None:
    assert url_refusal(url) == ""


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://a.example/", "its URL isn't `https:`"),
        ("http://127.example.com/", "its URL isn't `https:`"),
        ("http://localhost.evil.example/", "its URL isn't `https:`"),
        ("javascript:alert(1)", "its URL isn't `https:`"),
        ("file:///etc/passwd", "its URL isn't `https:`"),
        ("https:a.example", "its URL isn't `https:`"),
        ("//a.example/", "its URL isn't `https:`"),
        ("", "its URL isn't `https:`"),
        ("https://bank.example@evil.example/", "its URL has a name before the host"),
        ("https://bank.example:443@evil.example/", "its URL has a name before the host"),
        ("https://xn--80ak6aa92e.example/", "its URL has a host in punycode, which may look like another"),
        ("https://a.XN--80ak6aa92e/", "its URL has a host in punycode, which may look like another"),
        ("https://\u0430pple.example/", "its URL has characters that no URL may have"),
        ("https://a.example/\u202e", "its URL has characters that no URL may have"),
        ("https://a.example\\@evil.example/", "its URL has characters that no URL may have"),
        ("https://a.example/a b", "its URL has characters that no URL may have"),
        ("https://a.exa\tmple/", "its URL has characters that no URL may have"),
        ("https://a.example/\n", "its URL has characters that no URL may have"),
        ("https://a%2eexample/", "programs don't agree about the host in its URL"),
        ("https:///a.example/", "programs don't agree about the host in its URL"),
        ("https://2130706433/", "programs don't agree about the host in its URL"),
        ("https://0x7f.1/", "programs don't agree about the host in its URL"),
        ("https://[::ffff:127.0.0.1]/", "programs don't agree about the host in its URL"),
        ("https://93.184.216.34/", "its URL has an address for a host"),
        ("http://10.0.0.1/", "its URL has an address for a host"),
        ("https://[2001:db8::1]/", "its URL has an address for a host"),
        ("https://a.example/" + "a" * URL_LENGTH_LIMIT, f"its URL has more than {URL_LENGTH_LIMIT} characters"),
    ],
)
def test_a_url_that_may_mislead_is_refused(url: str, why: str) -> None:
    assert url_refusal(url) == why


WANTED = {"mode": "url", "url": "https://a.example/", "elicitationId": "e", "message": "m"}


def test_the_urls_of_an_error_are_read() -> None:
    assert urls_of({"elicitations": [WANTED, {**WANTED, "_meta": {}}], "more": 1}) == [WANTED, {**WANTED, "_meta": {}}]
    assert urls_of({"elicitations": []}) == []


@pytest.mark.parametrize(
    "data",
    [
        None,
        [WANTED],
        {},
        {"Elicitations": [WANTED]},
        {"elicitations": [], "ELICITATIONS": [WANTED]},
        {"elicitations": WANTED},
        {"elicitations": [WANTED] * (FIELD_LIMIT + 1)},
        {"elicitations": [WANTED, "https://a.example/"]},
        {"elicitations": [{**WANTED, "mode": "form"}]},
        {"elicitations": [{**WANTED, "URL": "https://b.example/"}]},
        *({"elicitations": [{name: value for name, value in WANTED.items() if name != gone}]} for gone in WANTED),
        *({"elicitations": [{**WANTED, name: 7}]} for name in WANTED),
    ],
)
def test_urls_that_cant_be_read_are_none(data: Any) -> None:
    assert urls_of(data) is None


def test_a_pile_of_marks_hides_no_word_and_isnt_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = unicodedata.normalize

    def normalize(form: Any, text: str) -> str:
        assert sum(map(bool, map(unicodedata.combining, text))) <= 1
        return real(form, text)

    monkeypatch.setattr(unicodedata, "normalize", normalize)
    assert refusal(form(**{"pass" + "\u0315\u0300" * 4000 + "word": {"type": "string"}})) == SECRET


CHOSEN = {"type": "string", "enum": ["ci", "deploy"]}
"""What every client shows as a choice, whatever revision it speaks."""

CONSTS = [{"const": "ci", "title": "CI"}, {"const": "deploy"}]


@pytest.mark.parametrize(
    "sham",
    [
        {"type": "string", "enum": []},
        {"type": "string", "enum": [], "enumNames": ["CI", "Deploy"]},
        {"type": "string", "enum": ["ci"]},
        {"type": "string", "enum": ["", ""]},
        {"type": "string", "enumNames": ["CI", "Deploy"]},
        {"type": "string", "enum": ["ci", 7]},
        {"type": "string", "enum": None, "oneOf": CONSTS},
        {"type": "string", "oneOf": []},
        {"type": "string", "anyOf": []},
        {"type": "string", "oneOf": CONSTS[:1]},
        # a client of 2025-06-18 doesn't know these, and shows a box to type into
        {"type": "string", "oneOf": CONSTS},
        {"type": "string", "anyOf": CONSTS},
        {"anyOf": CONSTS},
        {"type": "array", "items": {"type": "string", "enum": ["ci", "deploy"]}},
        {"type": "array", "items": {"anyOf": CONSTS}},
        # what may be typed beside what is chosen
        {**CHOSEN, "anyOf": [{"type": "string"}]},
        {**CHOSEN, "oneOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "string", "anyOf": [{"type": "integer"}]},
        {"type": "boolean", "anyOf": [{"type": "string"}]},
        {**CHOSEN, "oneOf": [{"const": "else", "type": "string"}]},
        {**CHOSEN, "format": "password"},
    ],
)
def test_a_choice_that_may_be_a_box_to_type_into_takes_no_secret(sham: dict[str, Any]) -> None:
    for params in (form(api_key=sham), form(x={**sham, "title": "API key"}), form(x={**sham, "description": "Enter your API key"})):
        assert refusal(params) == SECRET
    if "format" in sham:
        return
    assert refusal(form(colour={**sham, "title": "Colour"})) == ""


def test_what_every_client_shows_as_a_choice_may_be_called_like_a_secret() -> None:
    for chosen in (CHOSEN, {**CHOSEN, "oneOf": CONSTS}, {**CHOSEN, "enumNames": ["CI", "Deploy"]}):
        assert refusal(form(api_key={**chosen, "title": "API key", "description": "Enter your API key"})) == ""
