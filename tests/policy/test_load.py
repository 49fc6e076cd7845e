"""Files → policies: what is read from them, and the exact place of what can't be."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcpwrap.core.rules import Outcome
from mcpwrap.errors import ConfigError
from mcpwrap.policy.load import ProjectPolicy, TighteningPolicy, load_project, load_site, load_user

ROOT = "/src/web shop"
HOME = "/home/ann"

FULL = b"""\
version = 1
[project]
name = "webshop"
[servers.files]
command = ["npx", "-y", "server-files@1.2.3", "${project}/${home}"]
cwd = "${project}/sub/"
env = { LEVEL = "info", ROOT = "${project}" }
inherit_env = ["HTTPS_PROXY", "HTTPS_PROXY"]
allow = [
  "read_*",
  "!read_media_file",
]
log = ["create_directory"]
ask = ["write_*"]
deny = ["^move_.*$"]
[servers.files.resources]
allow = ["file://${project}/**", "docs://*"]
[servers.files.prompts]
allow = ["*"]
[servers.files.server_requests]
allow = ["roots", "elicitation"]
[servers.files.extra_methods]
allow = ["vendor/ping"]
[servers.issues]
"""


def project(text: str | bytes, root: str = ROOT) -> ProjectPolicy:
    data = text.encode() if isinstance(text, str) else text
    return load_project(data, file="mcpwrap.toml", root=root, home=HOME)


def user(text: str) -> TighteningPolicy:
    return load_user(text.encode(), file="/home/ann/.config/mcpwrap/config.toml", home=HOME)


def site(text: str) -> TighteningPolicy:
    return load_site(text.encode(), file="/etc/mcpwrap/config.toml", home=HOME)


def test_a_full_project_file_is_read() -> None:
    policy = project(FULL)
    assert (policy.file, policy.name, policy.root) == ("mcpwrap.toml", "webshop", ROOT)
    assert list(policy.servers) == ["files", "issues"]
    files = policy.servers["files"]
    assert files.command == ("npx", "-y", "server-files@1.2.3", f"{ROOT}/{HOME}")
    assert files.cwd == f"{ROOT}/sub"
    assert files.env == {"LEVEL": "info", "ROOT": ROOT}
    assert files.inherit_env == ("HTTPS_PROXY",)
    assert files.line == 4


def test_a_server_without_anything_has_no_command_and_admits_nothing() -> None:
    issues = project(FULL).servers["issues"]
    assert (issues.command, issues.cwd, issues.env, issues.inherit_env, issues.line) == (None, None, {}, (), 24)
    assert issues.tables["tools"].decide("anything").denied


def test_the_default_name_of_a_project_is_its_folders() -> None:
    assert project("").name == "web shop"
    assert project("", root="/").name == "/"


@pytest.mark.parametrize(
    ("kind", "text", "outcome", "line"),
    [
        ("tools", "read_file", Outcome.ALLOW, 10),
        ("tools", "read_media_file", Outcome.DENY, 4),
        ("tools", "create_directory", Outcome.LOG, 13),
        ("tools", "write_file", Outcome.ASK, 14),
        ("tools", "move_file", Outcome.DENY, 15),
        ("resources", "file:///src/web%20shop/a/b", Outcome.ALLOW, 17),
        ("resources", "file:///src/web shop/a", Outcome.DENY, 16),
        ("resources", "docs://a", Outcome.ALLOW, 17),
        ("resources", "docs://a/b", Outcome.DENY, 16),
        ("prompts", "any", Outcome.ALLOW, 19),
        ("server_requests", "roots", Outcome.ALLOW, 21),
        ("server_requests", "sampling", Outcome.DENY, 20),
        ("extra_methods", "vendor/ping", Outcome.ALLOW, 23),
        ("extra_methods", "vendor/pong", Outcome.DENY, 22),
    ],
)
def test_each_list_is_a_rule_and_each_pattern_has_its_own_line(kind: str, text: str, outcome: Outcome, line: int) -> None:
    decision = project(FULL).servers["files"].tables[kind].decide(text)
    assert decision.outcome is outcome
    assert [(reason.file, reason.line) for reason in decision.reasons] == [("mcpwrap.toml", line)]


def test_a_star_in_the_projects_path_is_no_wildcard() -> None:
    table = project('[servers.f.resources]\nallow = ["file://${project}/x"]', root="/src/*").servers["f"].tables["resources"]
    assert table.decide("file:///src/other/x").denied
    assert not table.decide("file:///src/%2A/x").denied


def test_a_substitution_in_a_folders_name_is_not_put_in_again() -> None:
    policy = project('[servers.f]\ncommand = ["x", "${project}"]', root="/src/${home}")
    assert policy.servers["f"].command == ("x", "/src/${home}")


MISTAKES = {
    # text: (place, message, hint)
    '[servers.files]\nallow = ["x"]\nalow = ["read_*"]': ("3:1", "unknown key `alow` in [servers.files]", "did you mean `allow`?"),
    "[server.files]": ("1:1", "unknown key `server` in the file", "did you mean `servers`?"),
    "verion = 1": ("1:1", "unknown key `verion` in the file", "did you mean `version`?"),
    "zzz = 1": ("1:1", "unknown key `zzz` in the file", "known here: `version`, `project`, `servers`"),
    "[servers.f.env.inner]\nx = 1": ("1:1", "`inner` must be a string, not a table", ""),
    '[servers."a.b".prompts]\nalow = []': ("2:1", 'unknown key `alow` in [servers."a.b".prompts]', "did you mean `allow`?"),
    "servers.f.prompts = { allow = [], alow = [] }": ("1:35", "unknown key `alow` in [servers.f.prompts]", "did you mean `allow`?"),
    # a key that TOML put into the table above it
    '[servers.f]\n[servers.f.prompts]\nallow = []\ncommand = ["x"]': (
        "4:1",
        "unknown key `command` in [servers.f.prompts]: TOML puts a key into the table whose header stands above it (line 2)",
        "if it is meant for [servers.f], move it above line 2",
    ),
    '[servers.f.env]\nLEVEL = "info"\nallow = ["x"]': (
        "3:1",
        "unknown key `allow` in [servers.f.env]: TOML puts a key into the table whose header stands above it (line 1)",
        "if it is meant for [servers.f], move it above line 1",
    ),
    '[project]\nname = "x"\nversion = 1': (
        "3:1",
        "unknown key `version` in [project]: TOML puts a key into the table whose header stands above it (line 1)",
        "if it is meant for the top of the file, move it above line 1",
    ),
    # later versions
    '[servers.f.credentials.X]\nheader = "x"': (
        "2:1",
        "`header` isn't supported by this version of mcpwrap: servers over HTTP",
        "",
    ),
    '[servers.f.credentials.X]\nvia = "header"': ("2:1", "`header` isn't supported by this version of mcpwrap: servers over", ""),
    '[servers.f]\nurl = "https://x.example"': ("2:1", "`url` isn't supported by this version of mcpwrap: ", ""),
    # rules with conditions
    "[[servers.f.rules]]\nargs.a = { max = 1 }": ("1:1", "a rule has exactly one of", 'write `deny = ["*"]`'),
    '[[servers.f.rules]]\nallow = ["a"]\nask = ["b"]': ("3:1", "a rule has exactly one of", "make two rules of it"),
    '[[servers.f.rules]]\nallow = ["a"]\nwhen = "nope == 1"': (
        "3:1",
        "`when` is no valid CEL expression: column 1: undeclared",
        "",
    ),
    '[[servers.f.rules]]\nallow = ["a"]\nwhen = "1 +"': ("3:1", "`when` is no valid CEL expression: column 4: Syntax error", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nwhen = "tool"': ("3:1", "`when` must be true or false, and this is a string", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.x = { withn = "/a" }': ("3:12", "unknown key `withn`", "did you mean `within`?"),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.x = {}': ("3:1", "`args` has no constraint for `x`", "known: `within`, `host`"),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.x = { within = "docs" }': (
        "3:12",
        "`docs` isn't absolute: begin with `${project}/`",
        "",
    ),
    '[[servers.f.rules]]\nallow = ["a"]\nunless.x = { within = ["/a", "${x}"] }': ("3:14", "unknown substitution in `${x}`", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.x = { host = "http://a" }': ("3:12", "`http://a` is no host", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.x = { host = [] }': ("3:12", "`host` can't be empty", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.x = { glob = "^(" }': ("3:12", "a regular expression goes from", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.x = { max = "3" }': ("3:12", "`max` must be a number, not a string", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.x = { max = nan }': ("3:12", "`max` must be a number", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.x = { one_of = [] }': ("3:12", "`one_of` can't be empty", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.x = { one_of = [["a"]] }': (
        "3:22",
        "the elements of `one_of` must be strings, numbers",
        "",
    ),
    '[[servers.f.rules]]\nallow = ["a"]\nargs = { path = "x" }': ("3:10", "`path` must be a table, not a string", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nargs.a.b = { max = 1 }': (
        "3:1",
        "`b` is no constraint for `a`",
        'what lies in an argument is written in quotation marks: `args."a.b"`',
    ),
    '[[servers.f.rules]]\nallow = ["a"]\nargs."" = { max = 1 }': ("3:1", "`` isn't the name of an argument", ""),
    # a name of our own, by which the URI is meant
    '[[servers.f.rules]]\nallow = ["a"]\nunless."\\u0000uri" = { max = 1 }': ("3:1", "`\0uri` isn't the name of an argument", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nlimit = "30/m"': ("3:1", "`30/m` isn't a limit such as `30/min`", ""),
    '[[servers.f.rules]]\nallow = ["a"]\nover = "ask"': ("3:1", "`over` says what is past a `limit`", 'add `limit = "30/min"`'),
    '[[servers.f.rules]]\nallow = ["a"]\nlimit = "3/s"\nover = "dny"': (
        "4:1",
        "`dny` isn't one of `ask`, `deny`",
        "did you mean `deny`?",
    ),
    '[[servers.f.rules]]\ndeny = ["a"]\nlimit = "3/s"': ("3:1", "`limit` in a rule that denies counts nothing", "put it into"),
    '[[servers.f.rules]]\ndeny = ["a"]\nmax_result_bytes = 3': ("3:1", "`max_result_bytes` in a rule that denies", "put it into"),
    "[servers.f]\nmax_result_bytes = 0": ("2:1", "`max_result_bytes` must be at least 1", ""),
    "[servers.f]\nmax_result_bytes = 1.5": ("2:1", "`max_result_bytes` must be a whole number, not a number", ""),
    '[[servers.f.tests]]\ncall = "x"': ("1:1", "a test needs `expect`", "write `call"),
    '[[servers.f.tests]]\nexpect = "ask"\nargs = 1': ("3:1", "`args` must be a table, not a number", ""),
    '[servers.f.resources]\nallow = ["docs://*",\n { withn = "/" }]': ("3:4", "unknown key `withn`", "did you mean `within`?"),
    "[servers.f.resources]\nallow = [{}]": ("2:10", "a constraint can't be empty", ""),
    '[servers.f.resources]\nallow = [{ within = "docs" }]': ("2:10", "`docs` isn't absolute", ""),
    "version = 2": ("1:1", "version `2` isn't supported by this version of mcpwrap", "write `version = 1`"),
    # types
    'version = "1"': ("1:1", "`version` must be a number, not a string", ""),
    "version = true": ("1:1", "`version` must be a number, not a truth value", ""),
    '[servers.f]\ncommand = "npx x"': ("2:1", "`command` must be a list, not a string", "write it as a list, in brackets"),
    "[servers.f]\ncommand = []": ("2:1", "`command` can't be empty", ""),
    '[servers.f]\nallow = ["a",\n  1]': ("3:3", "the elements of `allow` must be strings, not a number", ""),
    "[servers.f]\nallow = [{}]": ("2:10", "the elements of `allow` must be strings, not a table", ""),
    "[servers.f]\nenv = { A = 1 }": ("2:9", "`A` must be a string, not a number", ""),
    "servers = []": ("1:1", "`servers` must be a table, not a list", ""),
    "servers.f = 1": ("1:1", "`f` must be a table, not a number", ""),
    "project = 1979-05-27": ("1:1", "`project` must be a table, not a date or time", ""),
    # values
    '[project]\nname = ""': ("2:1", "`name` can't be empty", ""),
    '[project]\nname = "a\\nb"': ("2:1", "`a\nb` isn't a name", ""),
    f'[project]\nname = "{"x" * 200}"': ("2:1", f"`{'x' * 63}…` is longer than 128 characters", ""),
    '[servers."a b"]': ("1:1", "`a b` isn't a server's name", ""),
    '[servers."*"]': ("1:1", "`*` isn't a server's name", ""),
    f"[servers.{'x' * 65}]": ("1:1", f"`{'x' * 63}…` isn't a server's name", ""),
    '[servers.f]\nenv = { "A-B" = "x" }': ("2:9", "`A-B` isn't a variable's name", ""),
    '[servers.f]\ninherit_env = ["LC_*"]': ("2:16", "`LC_*` isn't a variable's name", ""),
    '[servers.f]\ncommand = ["x", "a\\u0000b"]': ("2:17", "a string can't hold a NUL character", ""),
    '[servers.f]\ncommand = [""]': ("2:12", "the program's name can't be empty", ""),
    '[servers.f]\ncommand = ["./run.sh"]': ("2:12", "`./run.sh` is relative to nothing", 'write "${project}/run.sh"'),
    '[servers.f]\ncwd = "sub"': ("2:1", "`cwd` must be absolute, and `sub` isn't", 'write "${project}/sub"'),
    '[servers.f]\ncommand = ["x", "${HOME}"]': ("2:17", "unknown substitution `${HOME}`", "known here: `${project}` and `${home}`"),
    '[servers.f]\ncommand = ["x", "${project"]': ("2:17", "unknown substitution `${project`", "known here"),
    '[servers.f]\nenv = { A = "${TOKEN}" }': ("2:9", "unknown substitution `${TOKEN}`", "known here"),
    '[servers.f]\nallow = ["a",\n"${x}"]': ("3:1", "unknown substitution in `${x}`", ""),
    '[servers.f]\nallow = [""]': ("2:10", "a pattern can't be empty", ""),
    '[servers.f]\nallow = ["*", "!"]': ("2:15", "a pattern can't be empty", ""),
    '[servers.f]\nallow = ["^($"]': ("2:10", "`^($` is no valid RE2 expression", ""),
    '[servers.f]\ndeny = ["!a"]': ("2:1", "`deny` has exclusions only", "add what they are taken out of"),
    "[servers.f]\nallow = [" + "'a'," * 1500 + "]\nask = [" + "'b'," * 501 + "]": ("3:1", "there are more than 2,000 patterns", ""),
    # methods and server requests
    '[servers.f.extra_methods]\nallow = ["tools/call"]': ("2:10", "`tools/call` is a method of the specification", ""),
    '[servers.f.extra_methods]\ndeny = ["ping"]': ("2:9", "`ping` is a method of the specification", ""),
    '[servers.f.extra_methods]\nallow = ["*"]': (
        "2:10",
        "`*` would match `completion/complete`, a method of the spec",
        "begin with",
    ),
    '[servers.f.extra_methods]\nlog = ["res*/read"]': ("2:8", "`res*/read` would match `resources/read`", "begin with"),
    '[servers.f.extra_methods]\nallow = ["^x.*$"]': ("2:10", "`^x.*$` is a regular expression; methods are literals or globs", ""),
    '[servers.f.server_requests]\nallow = ["samplng"]': (
        "2:10",
        "`samplng` is nothing that a server may ask",
        "did you mean `sampling`?",
    ),
    '[servers.f.server_requests]\ndeny = ["files"]': ("2:9", "`files` is nothing", "known: `elicitation`, `roots`, `sampling`"),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_project_file_is_told_with_its_exact_place(text: str) -> None:
    place, message, hint = MISTAKES[text]
    with pytest.raises(ConfigError) as caught:
        project(text)
    error = caught.value
    assert error.place == f"mcpwrap.toml:{place}"
    assert str(error).startswith(message)
    assert error.hint.startswith(hint)
    excerpt = text.split("\n")[error.line - 1].strip()
    assert error.excerpt == (excerpt if len(excerpt) <= 160 else excerpt[:159] + "…")
    assert error.exit_code == 2


def test_the_first_mistake_in_the_file_is_the_one_that_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        project("[servers.f]\nzz = 1\n[project]\nyy = 1")
    assert caught.value.line == 2


def test_a_key_of_an_upper_table_that_has_a_header_of_its_own_was_not_put_there_by_toml() -> None:
    with pytest.raises(ConfigError) as caught:
        project("[servers.f]\n[servers.f.project]\nname = 'x'")
    assert "TOML puts" not in str(caught.value)


TIGHTENING_MISTAKES = {
    '[servers."*"]\nallow = ["x"]': ("2:1", "`allow` can't stand here: only the file that defines a server admits"),
    '[servers."*".resources]\nallow = ["x"]': ("2:1", "`allow` can't stand here: only the file that defines a server admits"),
    '[servers.f]\ncwd = "/x"': ("2:1", "`cwd` can't stand here: it belongs to the file that defines a server"),
    "[servers.f]\nmatch = {}": ("2:1", "`match` in [servers.f] names no `command`"),
    '[servers.f]\nmatch = { command = "" }': ("2:11", "`command` can't be empty"),
    '[servers.f]\nmatch = { name = "x" }': ("2:11", "unknown key `name` in [servers.f.match]"),
    '[servers."a b"]': ("1:1", "`a b` isn't a server's name or a pattern"),
    '[servers."*"]\nask = ["^($"]': ("2:8", "`^($` is no valid RE2 expression"),
    '[[servers."*".rules]]\nallow = ["*"]': ("2:1", "`allow` can't stand here: only the file that defines a server admits"),
    '[servers."*"]\nlimit = "3/s"': ("2:1", "`limit` can't stand here: it belongs to the file that defines a server"),
    '[project]\nname = "x"': ("1:1", "unknown key `project` in the file"),
}


@pytest.mark.parametrize("load", [user, site])
@pytest.mark.parametrize("text", TIGHTENING_MISTAKES)
def test_a_mistake_in_a_file_that_tightens_is_told_with_its_exact_place(text: str, load: type) -> None:
    place, message = TIGHTENING_MISTAKES[text]
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.place.endswith(f"config.toml:{place}")
    assert str(caught.value).startswith(message)


def test_what_a_users_file_will_hold_later_is_refused_with_that_said() -> None:
    with pytest.raises(ConfigError, match="`approval` isn't supported by this version of mcpwrap"):
        user("[approval]")


def test_the_administrators_file_neither_defines_servers_nor_lets_scripts_trust() -> None:
    with pytest.raises(ConfigError, match="`command` can't stand here"):
        site('[servers.f]\ncommand = ["x"]')
    with pytest.raises(ConfigError, match="unknown key `trust`"):
        site("[trust]\nscripted = true")


@pytest.mark.parametrize("value", ['"yes"', "1", "[]", "{}"])
def test_only_a_truth_value_lets_scripts_trust(value: str) -> None:
    with pytest.raises(ConfigError, match="scripted"):
        user(f"[trust]\nscripted = {value}")


@pytest.mark.parametrize("value", ["true", '"5"', "1.5", "0", "-1"])
def test_a_limit_in_bytes_is_a_whole_number_of_one_at_least(value: str) -> None:
    with pytest.raises(ConfigError, match="max_result_bytes"):
        project(f'[servers.f]\ncommand = ["x"]\nmax_result_bytes = {value}')
    assert list(project('[servers.f]\ncommand = ["x"]\nmax_result_bytes = 1').servers) == ["f"]


@pytest.mark.parametrize("name", ["a b", "a\\n", "a/b", ""])
def test_the_whole_name_of_a_server_is_looked_at(name: str) -> None:
    with pytest.raises(ConfigError, match="isn't"):
        project(f'[servers."{name}"]\ncommand = ["x"]')


def test_a_users_file_defines_servers_of_its_own_and_tightens_others() -> None:
    policy = user(
        '[trust]\nscripted = true\n[servers.notes]\ncommand = ["notes", "${home}/n"]\nallow = ["*"]\n'
        '[servers."*"]\nask = ["delete_*"]\n[servers.npx]\nmatch = { command = "npx*" }\ndeny = ["x"]\n'
    )
    assert policy.scripted
    assert policy.own_servers is not None
    assert list(policy.own_servers.servers) == ["notes"]
    assert policy.own_servers.servers["notes"].command == ("notes", "/home/ann/n")
    assert policy.own_servers.root == "/home/ann/.config/mcpwrap"
    assert [(t.name, t.command, t.line) for t in policy.servers] == [("*", None, 6), ("npx", "npx*", 8)]


def test_a_users_server_knows_no_project() -> None:
    with pytest.raises(ConfigError, match="unknown substitution") as caught:
        user('[servers.f]\ncommand = ["x", "${project}"]')
    assert caught.value.place.endswith(":2:17")
    with pytest.raises(ConfigError) as caught:
        user('[servers.f]\ncommand = ["./x"]')
    assert caught.value.hint == "write an absolute path"


def test_a_users_pattern_for_servers_defines_none() -> None:
    with pytest.raises(ConfigError, match="`x\\*` is a pattern, and `command` defines one server"):
        user('[servers."x*"]\ncommand = ["x"]')


def test_a_users_file_without_anything_is_one_that_tightens_nothing() -> None:
    policy = user("")
    assert (policy.scripted, policy.servers, policy.own_servers) == (False, (), None)


def test_a_file_that_tightens_may_deny_every_method_outside_the_specification() -> None:
    assert site('[servers."*".extra_methods]\ndeny = ["*"]').servers


FRAGMENTS = st.sampled_from(
    [
        *(line for text in MISTAKES for line in text.split("\n")),
        *FULL.decode().split("\n"),
        *(line for text in TIGHTENING_MISTAKES for line in text.split("\n")),
        "[",
        '"""',
        "'''",
        "[[servers]]",
        "servers.files.allow = 1",
        "x = {",
        "}",
        "\\",
        "\r",
        "\x00",
    ]
)
TEXTS = st.one_of(
    st.binary(max_size=200), st.text(max_size=100).map(str.encode), st.lists(FRAGMENTS, max_size=8).map("\n".join).map(str.encode)
)


@given(TEXTS)
@example(b'"\\ud800" = 1')
@example(b"a = 0x" + b"f" * 60)
@example(b"[servers.f]\nallow = ['" + b"(" * 5000 + b"']")
def test_any_bytes_give_a_policy_or_a_config_error_and_nothing_else(data: bytes) -> None:
    for load in (
        lambda: load_project(data, file="f", root=ROOT, home=HOME),
        lambda: load_user(data, file="f", home=HOME),
        lambda: load_site(data, file="f", home=HOME),
    ):
        try:
            policy = load()
        except ConfigError as error:
            assert error.file == "f"
        else:
            assert isinstance(policy, ProjectPolicy | TighteningPolicy)
