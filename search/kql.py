r"""KQL, the query language of Kibana: text to tree.

The grammar is Kibana's, restated. Three of its ways surprise: a bare value keeps its inner spaces (`status:400 401` is one
value), `not ` is a keyword even inside a bare text (`cannot repay` needs quotes), and a backslash must be written `\\`.
"""

import re
from dataclasses import replace
from functools import cache
from typing import NamedTuple, cast

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput

from core.errors import QueryError
from search import syntax_errors
from search.advice import warnings
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
    Operator,
    Or,
    Pattern,
    Range,
    Scalar,
)

__all__ = ["MAX_CHARS", "MAX_DEPTH", "MAX_WILDCARDS", "parse", "warnings"]

MAX_CHARS = 10_000  # Kibana's own box takes more; a longer text is a paste by mistake
MAX_WILDCARDS = 20  # of one value; tantivy's automaton holds 53
MAX_DEPTH = 100  # brackets; the back ends walk the tree recursively, and Python's stack holds 1,000 frames

_SPACE = r"[ \t\r\n\u00a0]"
_CHAR = rf"(?:\\(?:u[0-9a-f]{{4}}|[trn\\():<>\"*{{}}]|or|and|not)|\*|(?!not{_SPACE})[^\\():<>\"*{{}} \t\r\n\u00a0])"
_GRAMMAR = r"""
start: [or_query]
?or_query: and_query (OR and_query)*
?and_query: not_query (AND not_query)*
?not_query: NOT sub_query -> negated
          | sub_query
?sub_query: "(" or_query ")"
          | expression
?expression: literal RANGE literal -> range
           | literal ":" list -> field_list
           | literal -> free
list: "(" or_list ")" -> bracketed
    | literal -> single
?or_list: and_list (OR and_list)* -> or_query
?and_list: not_list (AND not_list)* -> and_query
?not_list: NOT list -> negated
         | list
literal: BARE -> bare
       | QUOTED -> quoted

RANGE: "<=" | ">=" | "<" | ">"
OR.3: /<space>+or<space>+/i
AND.3: /<space>+and<space>+/i
NOT.3: /not<space>+/i
QUOTED: /"(?:\\[\s\S]|[^"\\])*"/
BARE: /<char>+(?:<space>+(?!(?:or|and)<space>)<char>+)*/i
WS: /<space>+/
%ignore WS
""".replace("<char>", _CHAR).replace("<space>", _SPACE)

# \not comes before \n: Kibana's own parser takes its first two characters for a line feed, which nobody means
_ESCAPE = re.compile(rf"\\(?:u([0-9a-f]{{4}})|(or|and|not(?={_SPACE}|$))|([trn])|(.))|(\*)", re.IGNORECASE | re.DOTALL)
_QUOTED_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([trn])|([\\\"]))")
_WHITE = {"t": "\t", "r": "\r", "n": "\n"}
_TYPED: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_OPERATORS: dict[str, Operator] = {">=": ">=", "<=": "<=", ">": ">", "<": "<"}
_BRACKETS = re.compile(r'"(?:\\[\s\S]|[^"\\])*"|\\.|[()]')


class _Literal(NamedTuple):
    """A value or a field's name: its parts between wildcards, and where it stands."""

    parts: Pattern
    quoted: bool
    position: int

    @property
    def text(self) -> str:
        return "*".join(self.parts)


def parse(query: str) -> Node:
    """The tree of `query`; an empty query matches everything.

    Raises QueryError with the position of what does not parse.

    >>> parse("sentiment.label:negative and amount >= 100")
    And(nodes=(FieldMatch(field='sentiment.label', value='negative'), Range(field='amount', operator='>=', value='100')))
    >>> parse("")
    MatchAll()
    """
    if len(query) > MAX_CHARS:
        message = f"the query has {len(query)} characters; shorten it to at most {MAX_CHARS}"
        raise QueryError(message, query=query[:80], position=0)
    _refuse_depth(query)
    try:
        return cast(Node, _parser().parse(query))  # the transformer has made a node of what lark calls a tree
    except _BadValue as error:
        raise QueryError(error.message, query=query, position=error.position) from error
    except UnexpectedInput as error:
        position, message = syntax_errors.describe(error, query)
        raise QueryError(message, query=query, position=position) from error


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Nodes())


class _BadValue(Exception):
    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


@v_args(inline=True)
class _Nodes(Transformer[Token, Node]):
    """Makes nodes as the parser reduces, so that depth costs no stack; the values of `field:(a or b)` get their field last."""

    def start(self, node: Node | None) -> Node:
        return MatchAll() if node is None else node

    def or_query(self, *parts: Node | Token) -> Node:
        nodes = _operands(parts)
        return Or(nodes) if len(nodes) > 1 else nodes[0]

    def and_query(self, *parts: Node | Token) -> Node:
        nodes = _operands(parts)
        return And(nodes) if len(nodes) > 1 else nodes[0]

    def negated(self, _: Token, node: Node) -> Node:
        return Not(node)

    def bare(self, token: Token) -> _Literal:
        parts, position = _unescaped(str(token).strip()), token.start_pos or 0
        if len(parts) > MAX_WILDCARDS + 1:
            raise _BadValue(f"this value holds {len(parts) - 1} wildcards; use at most {MAX_WILDCARDS}", position)
        return _Literal(parts, False, position)

    def quoted(self, token: Token) -> _Literal:
        text = _QUOTED_ESCAPE.sub(lambda found: _char(found[1], found[2], found[3]), token[1:-1])
        return _Literal((text,), True, token.start_pos or 0)

    def single(self, literal: _Literal) -> Node:
        if literal.quoted:
            return FieldPhrase("", literal.text)
        if len(literal.parts) == 1:
            text = literal.text
            return FieldMatch("", _TYPED.get(text, text))
        return FieldWildcard("", literal.parts) if any(literal.parts) else Exists("")

    def bracketed(self, node: Node) -> Node:
        return node

    def field_list(self, field: _Literal, values: Node) -> Node:
        return _bound(values, field.text)

    def range(self, field: _Literal, operator: Token, bound: _Literal) -> Node:
        if len(bound.parts) > 1:
            raise _BadValue("a range takes a number, a date or a word, without *", bound.position)
        return Range(field.text, _OPERATORS[str(operator)], bound.text)

    def free(self, literal: _Literal) -> Node:
        if literal.quoted:
            return FreePhrase(literal.text)
        if len(literal.parts) == 1:
            return FreeText(literal.text)
        return FreeWildcard(literal.parts) if any(literal.parts) else MatchAll()


def _operands(parts: tuple[Node | Token, ...]) -> tuple[Node, ...]:
    return tuple(part for part in parts if not isinstance(part, Token))


def _bound(node: Node, field: str) -> Node:
    match node:
        case And(nodes):
            return And(tuple(_bound(part, field) for part in nodes))
        case Or(nodes):
            return Or(tuple(_bound(part, field) for part in nodes))
        case Not(inner):
            return Not(_bound(inner, field))
        case Exists() if field == "*":
            return MatchAll()
        case FieldMatch() | FieldPhrase() | FieldWildcard() | Exists():
            return replace(node, field=field)
    return node


def _unescaped(text: str) -> Pattern:
    """The literal parts of a bare value between its wildcards."""
    parts, at = [""], 0
    for found in _ESCAPE.finditer(text):
        parts[-1] += text[at : found.start()]
        at = found.end()
        if found[5]:
            parts.append("")
        else:
            parts[-1] += _char(found[1], found[3], found[2] or found[4])
    parts[-1] += text[at:]
    return tuple(parts)


def _char(code: str | None, white: str | None, literal: str | None) -> str:
    if code:
        return chr(int(code, 16))
    return _WHITE[white.lower()] if white else literal or ""


def _refuse_depth(query: str) -> None:
    depth = 0
    for found in _BRACKETS.finditer(query):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            raise QueryError(
                f"more than {MAX_DEPTH} brackets inside each other; take some out", query=query, position=found.start()
            )
