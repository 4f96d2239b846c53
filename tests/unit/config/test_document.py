"""Strict YAML: what is read, what is refused, and that nothing hostile gets further than a problem with its place."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from majula.config.document import MAX_BYTES, MAX_DEPTH, MAX_PROBLEMS, MAX_VALUES, Located, Problems, quote, read_document


def read(data: bytes | str) -> tuple[Located | None, list[str]]:
    problems = Problems()
    tree = read_document(data if isinstance(data, bytes) else data.encode(), problems)
    return tree, [line.removeprefix("f:") for line in problems.render("f")]


def value_of(text: str) -> object:
    tree, problems = read(f"key: {text}")
    assert problems == [] and tree is not None
    return tree.value["key"].value


def problem_of(data: bytes | str) -> str:
    _, problems = read(data)
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-3", -3), ("0", 0), ("1.5", 1.5), ("1e3", 1000.0), ("true", True), ("false", False), ("null", None),
        ("", None),
        ("text", "text"), ("'012'", "012"), ('"22:22"', "22:22"), ("127.0.0.1:29090", "127.0.0.1:29090"), ("::1", "::1"),
        ("1.2.3", "1.2.3"),
        ("node-1", "node-1"), ("30s", "30s"), ("节点", "节点"),
    ],
)  # fmt: skip
def test_plain_scalar_has_its_one_meaning(text: str, value: object) -> None:
    found = value_of(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("text", ["yes", "no", "on", "off", "True", "FALSE", "y", "Null"])
def test_word_that_old_yaml_takes_for_a_boolean_is_text(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "22:22",
        "1:30:00",
        "0123",
        "0o17",
        "0x1F",
        "0b11",
        "1_000",
        "+5",
        ".5",
        "5.",
        ".inf",
        "-.inf",
        ".nan",
        "2001-01-01",
        "2001-01-01 10:00:00",
    ],
)
def test_scalar_that_readers_disagree_about_is_refused_at_its_place(text: str) -> None:
    assert problem_of(f"a: 1\nkey: {text}").startswith(f"2:6: '{text}' means different things")


@pytest.mark.parametrize("digits", [19, 5_000])
def test_number_too_long_for_64_bits_is_refused(digits: int) -> None:
    assert problem_of("key: " + "9" * digits).startswith("1:6: the number ")


def test_number_beyond_floating_point_is_refused() -> None:
    assert problem_of("key: 1e999") == "1:6: the number '1e999' is too large"


def test_key_that_stands_twice_is_refused_naming_the_first_line() -> None:
    assert problem_of("a: 1\nb: 2\na: 3\n") == "3:1: 'a' stands here twice, first in line 1"


def test_tag_is_refused_and_nothing_is_constructed() -> None:
    problem = problem_of("a: !!python/object/apply:os.system [exit]")
    assert problem == "1:4: tags are not allowed: remove 'tag:yaml.org,2002:python/object/apply:os.system'"


@pytest.mark.parametrize("tag", ["!!str", "!local", "!!map", "!<tag:x>", "!"])
def test_every_kind_of_tag_is_refused(tag: str) -> None:
    assert problem_of(f"a: {tag} b").startswith("1:4: tags are not allowed")


def test_anchor_and_alias_are_refused_each_at_its_place() -> None:
    _, problems = read("a: &x 1\nb: *x\n")
    assert problems == [
        "1:4: anchors are not allowed: remove '&x'",
        "2:4: aliases are not allowed: write the value out instead of '*x'",
    ]


def test_merge_key_is_an_ordinary_key() -> None:
    tree, problems = read("<<: {a: 1}")
    assert problems == [] and tree is not None and list(tree.value) == ["<<"]


def test_billion_laughs_are_refused_before_they_grow() -> None:
    lines = ["a0: &a0 [lol, lol, lol]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    tracemalloc.start()
    try:
        _, problems = read("\n".join(lines))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert problems[0].startswith("1:5: anchors are not allowed")
    assert peak < 4_000_000


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_without_recursion(opening: str) -> None:
    assert f"nested more than {MAX_DEPTH} levels deep" in problem_of(opening * 20_000)


def test_too_many_values_are_refused() -> None:
    assert f"more than {MAX_VALUES} values" in problem_of("[" + "1," * (MAX_VALUES + 1) + "]")


def test_file_over_the_limit_is_refused_unread() -> None:
    assert problem_of(b"#" * (MAX_BYTES + 1)).startswith(f"1:1: the file has {MAX_BYTES + 1} bytes")


def test_invalid_utf8_is_refused_at_its_place() -> None:
    assert problem_of(b"a: 1\nkey: \xff") == "2:6: not UTF-8: byte 0xff"


def test_column_of_invalid_utf8_counts_characters() -> None:
    assert problem_of("节点: ".encode() + b"\x80") == "1:5: not UTF-8: byte 0x80"


def test_utf16_is_refused() -> None:
    assert problem_of("a: 1".encode("utf-16")).startswith("1:1: not UTF-8")


def test_byte_order_mark_is_skipped() -> None:
    tree, problems = read(b"\xef\xbb\xbfa: 1")
    assert problems == [] and tree is not None and tree.value["a"].value == 1


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x7f", "\x85"])
def test_control_character_is_refused_at_its_place(char: str) -> None:
    assert problem_of(f"a: 1\nb: x{char}") == f"2:5: control character U+{ord(char):04X} is not allowed"


@pytest.mark.parametrize("escape", ["\\0", "\\e", "\\x07", "\\ud800", "\\N"])
def test_escape_that_makes_a_control_character_is_refused(escape: str) -> None:
    assert "is not allowed" in problem_of(f'a: "{escape}"')


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: b: c",
        "\ta: 1",
        "a: 'x",
        '"\\UFFFFFFFF"',
        "%YAML 9.9\n---\na",
        "%YAML " + "9" * 5000 + ".1\n---\na",
        "a: 1\n---\nb: 2",
        "@x",
        "- a\nb",
    ],
)
def test_what_is_not_yaml_is_one_problem(text: str) -> None:
    assert "not YAML: " in problem_of(text)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# only a comment\n"])
def test_empty_file_is_no_tree_and_no_problem(data: bytes) -> None:
    assert read(data) == (None, [])


def test_key_that_is_a_list_is_refused() -> None:
    assert problem_of("? [a]\n: 1") == "1:3: a key must be text"


def test_problems_beyond_the_limit_are_counted() -> None:
    _, problems = read("\n".join(f"k{n}: 0{n:03}" for n in range(MAX_PROBLEMS + 7)))
    assert len(problems) == MAX_PROBLEMS + 1 and problems[-1] == "1:1: and 7 more problems"


def test_problems_come_in_the_order_of_the_file() -> None:
    _, problems = read("a: 1\nb: 0x1\na: 022")
    assert [line.split(" ")[0] for line in problems] == ["2:4:", "3:1:", "3:4:"]


@given(st.text(max_size=200))
def test_quoted_value_is_one_short_printable_line(text: str) -> None:
    assert quote(text).isprintable() and len(quote(text)) <= 64


SCRAPS = [
    *[
        "a",
        ":",
        " ",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&x",
        "*x",
        "!t",
        "!!int",
        "'",
        '"',
        "\\",
        "|",
        ">",
        "#",
        "%",
        "?",
    ],
    *["---", "...", "<<", "0", "12", "22:22", ".nan", "~", "true", "\t", "\x00", "\u2028", "é", "%YAML 1.1", "\\x", "\\U0011"],
    *["@", "`", "\ufeff", "\r"],
]


@given(st.lists(st.sampled_from(SCRAPS), max_size=60).map("".join))
@example("!<")
@example("%TAG ! tag:x\n--- !x")
@example('"\\')
def test_scraps_of_yaml_give_a_tree_or_problems_with_a_place(text: str) -> None:
    _, problems = read(text)
    for line in problems:
        place = line.split(":", 2)
        assert int(place[0]) >= 1 and int(place[1]) >= 1 and line.isprintable()


@given(st.binary(max_size=300))
def test_binary_junk_gives_a_tree_or_problems_with_a_place(data: bytes) -> None:
    _, problems = read(data)
    assert all(line.isprintable() for line in problems)
