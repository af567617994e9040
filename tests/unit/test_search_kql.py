"""KQL: what each query means as a tree, and what a person is told about one that does not parse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import QueryError
from search.kql import MAX_CHARS, MAX_DEPTH, MAX_WILDCARDS, parse, warnings
from search.nodes import (
    And,
    Exists,
    FieldMatch,
    FieldPhrase,
    FieldWildcard,
    FreePhrase,
    FreeText,
    FreeWildcard,
    MatchAll,
    Node,
    Not,
    Or,
    Range,
)


def text(value: str) -> Node:
    return FreeText(value)


def match(field: str, value: str | bool | None) -> Node:
    return FieldMatch(field, value)


def refusal(query: str) -> QueryError | None:
    try:
        parse(query)
    except QueryError as error:
        return error
    return None


# compared with Kibana's own parser (kbn-es-query 1.0.2): it differs in that it nests `a and b and c`, types numbers, takes no
# no-break space for a separator and no \uXXXX, and reads a line feed in `\not`
CORPUS: list[tuple[str, Node]] = [
    # everything
    ("", MatchAll()),
    (" \t\n", MatchAll()),
    ("*", MatchAll()),
    ("*:*", MatchAll()),
    ("(*)", MatchAll()),
    # bare values
    ("default", text("default")),
    ("  default ", text("default")),
    ("debt default", text("debt default")),
    ("debt  \t default", text("debt  \t default")),
    ("恒大 违约", text("恒大 违约")),
    ("$AAPL #earnings 3.5%", text("$AAPL #earnings 3.5%")),
    ("true", text("true")),
    ("null", text("null")),
    ("notable", text("notable")),
    ("not", text("not")),
    ("or b", text("or b")),
    ("a or", text("a or")),
    ("and b", text("and b")),
    ("a and", text("a and")),
    ("android oracle", text("android oracle")),
    ("U.S.-China [talks] = 50/50?", text("U.S.-China [talks] = 50/50?")),
    # quoted values
    ('"debt default"', FreePhrase("debt default")),
    ('"a and not b: (c)"', FreePhrase("a and not b: (c)")),
    ('"5 * 3"', FreePhrase("5 * 3")),
    (r'"a \"quoted\" word\t\\"', FreePhrase('a "quoted" word\t\\')),
    (r'"C:\Users"', FreePhrase("C:\\Users")),
    (r'"\u6052大"', FreePhrase("恒大")),
    ('""', FreePhrase("")),
    # wildcards
    ("def*", FreeWildcard(("def", ""))),
    ("*fault", FreeWildcard(("", "fault"))),
    ("d*t soon", FreeWildcard(("d", "t soon"))),
    (r"5\*3", text("5*3")),
    (r"5\*3*", FreeWildcard(("5*3", ""))),
    ("*S3 Browser*", FreeWildcard(("", "S3 Browser", ""))),
    # escapes
    (r"a\:b", text("a:b")),
    (r"\(a\) \<b\> \{c\} \"d\" \\", text('(a) <b> {c} "d" \\')),
    (r"a \and b", text("a and b")),
    (r"a \OR b", text("a OR b")),
    (r"does \not pay", text("does not pay")),
    (r"\not a", text("not a")),
    (r"\u6052大", text("恒大")),
    # fields
    ("source:reuters", match("source", "reuters")),
    ("source : reuters", match("source", "reuters")),
    ("source:  the wire  ", match("source", "the wire")),
    ("status:400 401 404", match("status", "400 401 404")),
    ("extra.flag:true", match("extra.flag", True)),
    ("extra.flag:false", match("extra.flag", False)),
    ("extra.flag:True", match("extra.flag", "True")),
    ("author:null", match("author", None)),
    ('author:"null"', FieldPhrase("author", "null")),
    ('title:"debt default"', FieldPhrase("title", "debt default")),
    ('"source":reuters', match("source", "reuters")),
    (r"extra.a\:b:c", match("extra.a:b", "c")),
    ("title:def*", FieldWildcard("title", ("def", ""))),
    ("title:*", Exists("title")),
    ("title:(*)", Exists("title")),
    ("extra.*:x", match("extra.*", "x")),
    ("topic*:*", Exists("topic*")),
    ("*:negative", match("*", "negative")),
    # ranges
    ("amount>100", Range("amount", ">", "100")),
    ("amount >= 100", Range("amount", ">=", "100")),
    ("amount < -1.5e3", Range("amount", "<", "-1.5e3")),
    ("time <= now-2w", Range("time", "<=", "now-2w")),
    ('time > "2022-11-11T14:29:37Z"', Range("time", ">", "2022-11-11T14:29:37Z")),
    # lists of values
    ("source:(a or b)", Or((match("source", "a"), match("source", "b")))),
    ("source:(a and b or c)", Or((And((match("source", "a"), match("source", "b"))), match("source", "c")))),
    ("source:(not a)", Not(match("source", "a"))),
    (
        'source:(a or (b and not "c d"))',
        Or((match("source", "a"), And((match("source", "b"), Not(FieldPhrase("source", "c d")))))),
    ),
    ("source:((a))", match("source", "a")),
    ("title:(de* or *)", Or((FieldWildcard("title", ("de", "")), Exists("title")))),
    # and, or, not
    ("a and b", And((text("a"), text("b")))),
    ("a AND b And c", And((text("a"), text("b"), text("c")))),
    ("a or b", Or((text("a"), text("b")))),
    ("a or b and c", Or((text("a"), And((text("b"), text("c")))))),
    ("a and b or c and d", Or((And((text("a"), text("b"))), And((text("c"), text("d")))))),
    ("(a or b) and c", And((Or((text("a"), text("b"))), text("c")))),
    ("( a )", text("a")),
    ("not a", Not(text("a"))),
    ("NOT a and b", And((Not(text("a")), text("b")))),
    ("a and not b", And((text("a"), Not(text("b"))))),
    ("not (a or b)", Not(Or((text("a"), text("b"))))),
    ("not (not a)", Not(Not(text("a")))),
    ("a\u00a0and\u00a0b", And((text("a"), text("b")))),
    ("a\nor\tb", Or((text("a"), text("b")))),
    ("a and or b", And((text("a"), text("or b")))),
    (
        "source:a and amount>1 or not kind:news",
        Or((And((match("source", "a"), Range("amount", ">", "1"))), Not(match("kind", "news")))),
    ),
]

ERRORS: list[tuple[str, int, str]] = [
    ("does not pay", 5, 'put them in quotes: "does not pay"'),
    ("cannot repay", 3, '"cannot repay"'),
    ("knot tie", 1, '"knot tie"'),
    ("source:a and title:does not pay", 24, '"does not pay"'),
    ("not not a", 4, "`not (not …)`"),
    ("(a", 2, "bracket opened at position 0 is not closed"),
    ("a and (b or (c)", 15, "bracket opened at position 6 is not closed"),
    ("a)", 1, "closes nothing"),
    ("()", 1, "a value is missing before `)`"),
    ("source:", 7, "a value is missing at the end"),
    ("amount >=", 9, "a value is missing at the end"),
    ("a and ", 6, "a value is missing after `and`"),
    ("time:2022-11-11T14:29", 18, '"2022-11-11T14:29"'),
    ("source:http://a.b/c", 11, '"http://a.b/c"'),
    ('"a', 0, "not closed"),
    ('title:"a and b', 6, "not closed"),
    ("{a}", 0, "braces"),
    ("entities:{id:e1}", 9, "braces"),
    ("C\\x", 1, "for a backslash"),
    ("not(a)", 3, "a space between `not` and `(`"),
    ("a and(b)", 5, "a space between `and` and `(`"),
    ("(a) b", 4, "`and` or `or` in front"),
    ('"a" "b"', 4, "`and` or `or` in front"),
    ('a "b"', 2, "`and` or `or` in front"),
    (">= 1", 0, "name a field"),
    ("amount:>1", 7, "without `:`"),
    ("amount >= 1*", 10, "without *"),
]


@pytest.mark.parametrize(("query", "tree"), CORPUS, ids=[query for query, _ in CORPUS])
def test_a_query_parses_to_its_tree(query: str, tree: Node) -> None:
    assert parse(query) == tree


@pytest.mark.parametrize(("query", "position", "says"), ERRORS, ids=[query for query, _, _ in ERRORS])
def test_an_error_points_at_the_fault_and_says_what_to_type(query: str, position: int, says: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query)
    assert caught.value.position == position
    assert says in caught.value.message
    assert caught.value.query == query


def test_the_offered_quoted_form_parses() -> None:
    with pytest.raises(QueryError) as caught:
        parse("source:a and title:does not pay")
    offered = caught.value.message.split("quotes: ")[1].split(";")[0]
    assert parse(f"title:{offered}") == FieldPhrase("title", "does not pay")


def test_a_text_pasted_by_mistake_is_refused() -> None:
    with pytest.raises(QueryError, match="shorten"):
        parse("a" * (MAX_CHARS + 1))


def test_depth_is_limited_and_the_limit_parses() -> None:
    deep = "not (" * MAX_DEPTH + "a" + ")" * MAX_DEPTH
    parse(deep)
    with pytest.raises(QueryError, match="brackets inside each other"):
        parse(f"({deep})")


def test_brackets_in_quotes_do_not_count_as_depth() -> None:
    assert parse('"' + "(" * 500 + '"') == FreePhrase("(" * 500)


@given(st.text(alphabet='ab not and or()":*<>={}\\u0041\t恒大', max_size=30))
def test_any_text_parses_or_raises_a_query_error_within_it(query: str) -> None:
    error = refusal(query)
    assert error is None or (0 <= error.position <= len(query) and error.message)


@given(st.text(min_size=1, max_size=20))
def test_quoting_takes_any_text_literally(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'title:"{quoted}"') == FieldPhrase("title", value)


@pytest.mark.parametrize(
    ("query", "warned"),
    [
        ("source:reuters", []),
        ("sentimnt.label:negative", ["no field is named sentimnt.label; did you mean sentiment.label?"]),
        ("sentiment:negative", ["sentiment is an object; name a field of it: "]),
        ("sentiment:* and extra.desk:*", []),
        ("amount:many", ['amount holds numbers, and "many" is none']),
        ("time > soon", ['time holds dates such as 2022-11-11 or now-2w, and "soon" is none']),
        ("amount:1*", ['amount holds numbers, and "1*" is none']),
        ("extra.count >= 5", ["extra.count holds texts"]),
        ("title > a", ["title holds words, which have no order"]),
        ("!!!", ["a text without letters or digits matches nothing"]),
        ('title:"?"', ['"?" holds no letter or digit']),
        ("zzzz:1", ["no field is named zzzz; fields that a source adds are called extra.<name>"]),
        ("nonesuch:1 and nonesuch:2", ["no field is named nonesuch"]),
    ],
)
def test_what_cannot_match_is_warned_of(query: str, warned: list[str]) -> None:
    found = warnings(parse(query))
    assert len(found) == len(warned)
    assert all(said.startswith(begin) for said, begin in zip(found, warned, strict=True))


def test_wildcards_are_limited() -> None:
    parse("a*" * MAX_WILDCARDS)
    with pytest.raises(QueryError, match="at most 20"):
        parse("title:" + "a*" * (MAX_WILDCARDS + 1))
