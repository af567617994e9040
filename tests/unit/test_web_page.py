"""The page's files: served, self-contained, free of unsafe calls; and its pure modules, run by node against the real KQL parser."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from search.kql import parse
from search.memory_index import MemoryIndex
from search.predicate import compile_predicate
from web.app import STATIC, Deps, build_app

MODULES = sorted(STATIC.glob("*.js"))
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed; it runs the page's modules outside a browser")
DOCUMENT = {
    "id": "n-1", "kind": "news", "time": "2022-11-08T00:00:00Z", "title": 'He said "sell" \\ now', "lang": "en", "source": 'a "b" c',
    "sentiment": {"label": "negative", "score": -0.82}, "entities": [{"id": "us:AAPL", "name": "Apple"}, {"id": "x:FTX", "name": "FTX"}],
    "followers": 12, "extra": {"desk": "markets (EU): fx*", "open": True},
}  # fmt: skip


async def no_counters() -> dict[str, float]:
    return {}


async def refuse(topic: str, raw: bytes) -> None:
    raise NotImplementedError


@pytest.fixture
def web() -> TestClient:
    deps = Deps(index=MemoryIndex(), alerts=None, counters=no_counters, submit=refuse)
    return TestClient(build_app(deps, registry=CollectorRegistry()), base_url="http://localhost")


def run(script: str, *arguments: Any) -> Any:
    """What `script`, a module that imports from the page's folder, prints as JSON."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", script, "--", *(json.dumps(argument) for argument in arguments)],
        cwd=STATIC, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_and_everything_it_names_is_served(web: TestClient) -> None:
    page = web.get("/")
    assert page.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert len(named) >= 4
    for path in named:
        assert web.get(path).status_code == 200, path
    assert web.get("/static/app.js").headers["cache-control"] == "no-cache"
    assert web.get("/static/../app.py").status_code == 404
    assert web.get("/static/%2e%2e/app.py").status_code == 404


def test_the_page_has_no_inline_script_or_style_and_loads_nothing_from_elsewhere() -> None:
    page = (STATIC / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []
    for file in [STATIC / "index.html", *MODULES, *STATIC.glob("*.css")]:
        assert "https://" not in file.read_text("utf-8"), file.name


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_is_short_imports_files_that_exist_and_never_makes_markup_of_text(module: Path) -> None:
    source = module.read_text("utf-8")
    assert len(source.splitlines()) < 300
    for imported in re.findall(r'from "(\./[^"]+)"', source):
        assert (STATIC / imported).is_file(), imported
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source)


def test_vendored_libraries_come_with_their_licences() -> None:
    for name in ("htm", "preact", "uplot"):
        assert "License" in (STATIC / "vendor" / name / "LICENSE").read_text("utf-8")


@needs_node
@pytest.mark.parametrize("negate", [False, True])
@pytest.mark.parametrize("asked", ["", "lang:en", "lang:zh or kind:news", "(lang:en)"])
def test_a_click_on_any_value_gives_a_query_that_finds_the_event_or_excludes_it(asked: str, negate: bool) -> None:
    script = """
    import { clause, leaves, narrowed } from "./kql.js";
    const [document, asked, negate] = process.argv.slice(1).map(JSON.parse);
    console.log(JSON.stringify(leaves(document).map(([field, value]) => [field, narrowed(asked, clause(field, value), { negate })])));
    """
    queries = run(script, DOCUMENT, asked, negate)
    assert [field for field, _ in queries] == [
        "id", "kind", "time", "title", "lang", "source", "sentiment.label", "sentiment.score", "entities.id", "entities.name",
        "entities.id", "entities.name", "followers", "extra.desk", "extra.open",
    ]  # fmt: skip
    for _, query in queries:
        admits = compile_predicate(parse(query), clock=lambda: datetime(2022, 11, 9, tzinfo=UTC))
        assert admits(DOCUMENT) is not negate, query


@needs_node
def test_asking_for_the_same_value_twice_changes_nothing() -> None:
    script = """
    import { narrowed } from "./kql.js";
    const once = narrowed("lang:en", 'kind:"news"');
    console.log(JSON.stringify([once, narrowed(once, 'kind:"news"'), narrowed("", "a:1"), narrowed("a:1", "a:1")]));
    """
    once, twice, alone, again = run(script)
    assert once == twice == 'lang:en and kind:"news"'
    assert alone == again == "a:1"


@needs_node
@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        (["ftx"], "FTX and ftxs, $FTX", ["FTX", "FTX"]),
        (["bankrupt*"], "Bankruptcy of the bankrupt", ["Bankruptcy", "bankrupt"]),
        (["chapter 11"], "Chapter  11, chapter-11; chapter 112", ["Chapter  11", "chapter-11"]),
        (["恒大"], "中国恒大集团", ["恒大"]),
        (["a.b", "(x"], "a.b axb (x", ["a.b", "(x"]),
        (["<b>"], "a <b>bold</b>", ["<b>"]),
        (["*"], "anything", []),
        ([], "anything", []),
    ],
)
def test_matched_words_are_marked_and_the_text_stays_whole(words: list[str], text: str, expected: list[str]) -> None:
    script = """
    import { marked, matcher } from "./highlight.js";
    const [words, text] = process.argv.slice(1).map(JSON.parse);
    const parts = [marked(text, matcher(words))].flat();
    console.log(JSON.stringify(parts.map((part) => (typeof part === "string" ? part : { mark: [part.props.children].flat()[0] }))));
    """
    parts = run(script, words, text)
    assert [part["mark"] for part in parts if isinstance(part, dict)] == expected
    assert "".join(part["mark"] if isinstance(part, dict) else part for part in parts) == text


@needs_node
def test_the_address_holds_the_whole_state_and_only_what_differs_from_the_default() -> None:
    script = """
    import { readAddress, writeAddress } from "./address.js";
    const [search] = process.argv.slice(1).map(JSON.parse);
    const state = readAddress(search);
    console.log(JSON.stringify([writeAddress(state), state.q, state.sort, writeAddress(readAddress(""))]));
    """
    search = "?q=%E6%81%92%E5%A4%A7+and+%28a+or+b%29&last=24h&sort=time%3Aasc&offset=25&alert=a%2F1"
    assert run(script, search) == [search, "恒大 and (a or b)", "time:asc", "/"]


@needs_node
def test_numbers_and_times_are_written_the_same_in_every_locale() -> None:
    script = """
    import * as format from "./format.js";
    console.log(JSON.stringify([
      format.time("2022-11-08T13:58:33.5+02:00"), format.time("soon"), format.signed(-0.824), format.percent(0.385),
      format.interval(10800), format.interval(86400), format.elapsed("2022-11-08T00:00:00Z", "2022-11-08T05:00:00Z"),
      format.plain(3.2e-9), format.plain(1234), format.plain("x"), format.count(1234567),
    ]));
    """
    assert run(script) == [
        "2022-11-08 11:58:33", "soon", "−0.82", "39 %", "3 hours", "1 day", "5 h", "3.2e-9", "1,234", "x", "1,234,567",
    ]  # fmt: skip


@needs_node
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sent", {"kind": "field", "typed": "sent", "from": 0}),
        ("lang:en and (sent", {"kind": "field", "typed": "sent", "from": 13}),
        ("lang:", {"kind": "value", "field": "lang", "typed": "", "from": 5}),
        ('topic.label:"Comp', {"kind": "value", "field": "topic.label", "typed": "Comp", "from": 12}),
        ("kind:(news or so", {"kind": "value", "field": "kind", "typed": "so", "from": 14}),
        ('"free text sent', None),
        ("lang:en ", None),
        ("amount >= 1", None),
        ("", None),
    ],
)
def test_suggestions_know_what_is_being_typed(text: str, expected: dict[str, Any] | None) -> None:
    script = """
    import { context } from "./suggest.js";
    const [text] = process.argv.slice(1).map(JSON.parse);
    console.log(JSON.stringify(context(text, text.length)));
    """
    assert run(script, text) == expected


@needs_node
def test_suggested_texts_parse_as_they_stand() -> None:
    script = """
    import { fieldsFor, valuesFor } from "./suggest.js";
    const [fields, values] = process.argv.slice(1).map(JSON.parse);
    console.log(JSON.stringify([fieldsFor(fields, "label").map(({ text }) => text), valuesFor(values, "").map(({ text }) => text)]));
    """
    fields = [{"name": "sentiment.label", "type": "keyword", "help": ""}, {"name": "amount", "type": "number", "help": ""}]
    values = ["negative", 'a "b"', "Company | Product", "not", "恒大", "us:AAPL", "back\\slash"]
    names, texts = run(script, fields, [{"value": value, "count": 1} for value in values])
    assert names == ["sentiment.label:"]
    assert texts[0] == "negative"
    for value, text in zip(values, texts, strict=True):
        admits = compile_predicate(parse(f"source:{text}"), clock=lambda: datetime(2022, 11, 9, tzinfo=UTC))
        assert admits({"id": "n", "source": value}), text


@needs_node
def test_a_dead_letter_is_told_in_words_and_edited_with_its_fields_on_lines_of_their_own() -> None:
    script = """
    import { chosenText } from "./dead.js";
    import { readable, replayedText } from "./dead_letter.js";
    console.log(JSON.stringify([
      chosenText({ topic: "news.raw", stage: "score_texts", reason: " missing " }), chosenText({ topic: "", stage: "", reason: " " }),
      readable('{"a":1}'), readable("{broken"), replayedText(null), replayedText({ time: "2026-11-22T00:00:00Z", mended: true }),
    ]));
    """
    assert run(script) == [
        "of news.raw that failed in score_texts whose reason says “missing”", "",
        '{\n  "a": 1\n}', "{broken", "open", "mended and replayed 2026-11-22 00:00:00 UTC",
    ]  # fmt: skip
