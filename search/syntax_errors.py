"""What is wrong with a query and what to type instead, in words for the person who typed it."""

import re

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

_NOT = re.compile(r"not[ \t\r\n\u00a0]", re.IGNORECASE)
_KEYWORD_END = re.compile(r"(?:^|[ \t\r\n\u00a0(])(and|or|not)\s*$", re.IGNORECASE)
_SEPARATOR = re.compile(r"[ \t\r\n\u00a0]+(?:and|or)[ \t\r\n\u00a0]+|[():<>{}\"]", re.IGNORECASE)


def describe(error: UnexpectedInput, query: str) -> tuple[int, str]:
    """The position of the fault, counted in characters from 0, and a message that says how to mend it."""
    at = error.pos_in_stream
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return len(query), _at_end(query)
    if at is None:
        at = error.token.start_pos or 0 if isinstance(error, UnexpectedToken) else 0
    if isinstance(error, UnexpectedToken):
        return _at_token(error.token, query, at)
    assert isinstance(error, UnexpectedCharacters)
    return _at_character(query, at)


def _at_end(query: str) -> str:
    opened = _unclosed_bracket(query)
    keyword = _KEYWORD_END.search(query)
    if keyword:
        return f"a value is missing after `{keyword[1]}`"
    if query.rstrip().endswith((":", "<", ">", "=")):
        return "a value is missing at the end, such as `field:value` or `field >= 0.5`"
    if opened is not None:
        return f"the bracket opened at position {opened} is not closed; add `)`"
    return "the query ends too early: a value is missing"


def _at_token(token: Token, query: str, at: int) -> tuple[int, str]:
    before = query[:at].rstrip()
    match token.type:
        case "NOT" if (keyword := _KEYWORD_END.search(before)) and keyword[1].lower() == "not":
            return at, "`not not` needs brackets: `not (not …)`"
        case "NOT":
            at += len(token) - len(token.lstrip())
            return at, _quote_not(query, at)
        case "COLON":
            return at, _quote_colon(query, at)
        case "LPAR" if keyword := _KEYWORD_END.search(before):
            return at, f"put a space between `{keyword[1]}` and `(`"
        case "LPAR" | "BARE" | "QUOTED":
            return at, "put `and` or `or` in front of this (with spaces around it), or the whole text in quotes"
        case "RPAR" if query[:at].count("(") <= query[:at].count(")"):
            return at, "this `)` closes nothing; delete it, or put the text in quotes to search for it"
        case "RPAR" | "AND" | "OR":
            return at, f"a value is missing before `{token.strip()}`"
        case "RANGE" if before.endswith(":"):
            return at, f"write the comparison without `:`, such as `amount {token} 100`"
        case "RANGE" if not before:
            return at, f"name a field before `{token}`, such as `amount {token} 100`"
        case _:
            return at, f'`{token.strip()}` has a meaning of its own; put the text in quotes to search for it: "{token.strip()}"'


def _at_character(query: str, at: int) -> tuple[int, str]:
    match query[at]:
        case '"':
            return at, 'this quotation mark is not closed; close it, or write \\" for the mark itself'
        case "{" | "}":
            return (
                at,
                "braces query nested fields, and no field is nested: write `entities.name:x and …`, or put the text in quotes",
            )
        case "\\":
            return at, "write `\\\\` for a backslash"
        case _:
            return at, "this is not expected here; put the text in quotes to search for it"


def _quote_not(query: str, at: int) -> str:
    start = max((found.end() for found in _SEPARATOR.finditer(query, 0, at)), default=0)
    end = next((found.start() for found in _SEPARATOR.finditer(query, at + len("not"))), len(query))
    text = query[start:end].strip()
    return f'`not ` is a keyword; to search for the words, put them in quotes: "{text}"; to exclude, write `and not …`'


def _quote_colon(query: str, at: int) -> str:
    start = max((found.end() for found in _SEPARATOR.finditer(query, 0, at)), default=0)
    end = next((found.start() for found in re.finditer(r"[\s()\"]", query[at:])), len(query) - at) + at
    text = query[start:end].strip()
    return f'a value that holds `:` needs quotes: "{text}"'


def _unclosed_bracket(query: str) -> int | None:
    opened: list[int] = []
    for found in re.finditer(r'"(?:\\[\s\S]|[^"\\])*"|\\.|[()]', query):
        if found[0] == "(":
            opened.append(found.start())
        elif found[0] == ")" and opened:
            opened.pop()
    return opened[-1] if opened else None
