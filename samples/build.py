"""Makes the bundled text samples from the permissive source sets: `python samples/build.py --data FOLDER`. See SOURCES.md."""

import argparse
import csv
import gzip
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# The three weeks up to 2 February 2016, when BP and ExxonMobil reported their worst results in years and oil fell below 30 USD.
POSTS_FROM, POSTS_TO = "2016-01-15T00:00:00Z", "2016-02-07T00:00:00Z"
# The days around Evergrande's denial of a bankruptcy restructuring on 13 September 2021.
TITLES_FROM, TITLES_TO = "2021-09-12T00:00:00Z", "2021-09-15T00:00:00Z"
HEADLINES = 1_000


def posts(data: Path) -> Iterator[dict[str, Any]]:
    """Posts of the StockNet set, in time order, exact repeats dropped."""
    seen = set()
    for row in _lines(data / "streams/stocknet_tweets/stocknet_tweets_2014_2016.jsonl.gz"):
        identity = (row["published"], row["text"])
        if POSTS_FROM <= row["published"] < POSTS_TO and identity not in seen:
            seen.add(identity)
            yield {
                "published": row["published"],
                "source": "twitter",
                "text": row["text"],
                "followers": row["followers"],
                "tickers": row["tickers"],
            }


def titles(data: Path) -> Iterator[dict[str, Any]]:
    """Titles of the Weibo and Zhihu hot lists, in the order in which they were first seen."""
    rows = [row for name in ("weibo", "zhihu") for row in _lines(data / f"streams/hotlist_zh/{name}.jsonl.gz")]
    for row in sorted(rows, key=lambda row: row["first_seen"]):
        if TITLES_FROM <= row["first_seen"] < TITLES_TO:
            yield {"published": row["first_seen"], "source": row["source"], "title": row["title"], "lang": "zh"}


def headlines(data: Path) -> Iterator[dict[str, Any]]:
    """Headlines of SEntFiN. The set has no dates: they are stamped evenly over the period of the posts, and marked so."""
    start, end = datetime.fromisoformat(POSTS_FROM), datetime.fromisoformat(POSTS_TO)
    step = (end - start) / HEADLINES
    with (data / "text/sentfin/SEntFiN.csv").open(encoding="utf-8") as stream:
        rows = list(dict.fromkeys(row["Title"].strip() for row in csv.DictReader(stream)))
    for number, title in enumerate(rows[:: len(rows) // HEADLINES][:HEADLINES]):
        published = _whole_seconds(start + number * step)
        yield {"published": published, "source": "sentfin", "title": title, "stamped_for_replay": True}


def _whole_seconds(moment: datetime) -> str:
    rounded = (moment + timedelta(milliseconds=500)).replace(microsecond=0)
    return rounded.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def _write(name: str, records: Iterable[dict[str, Any]]) -> int:
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    (HERE / name).write_text("".join(lines), "utf-8")
    return len(lines)


def main() -> None:
    """Write the sample files and say how many records each holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with streams/ and text/")
    data = parser.parse_args().data
    for name, records in (
        ("social-stocknet.jsonl", posts(data)),
        ("news-hotlist-zh.jsonl", titles(data)),
        ("news-sentfin.jsonl", headlines(data)),
    ):
        print(f"{name}: {_write(name, records)} records")


if __name__ == "__main__":
    main()
