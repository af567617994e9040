"""`python -m models.training.watchlist`: the listed companies of the United States as a watchlist.

Made from the S&P 500 constituents and the NYSE's and Nasdaq's listings (datasets/s-and-p-500-companies, nyse-other-listings and
nasdaq-listings, Open Data Commons PDDL).
"""

import csv
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import yaml

from core.errors import ConfigError, GroundswellError
from models.text.entities import load_common_words
from models.text.watchlist import WatchlistEntry, load_watchlist
from models.training.company_names import Names, company_names, short_forms, strip_legal_form
from models.training.text.bases import minilm, whole_words

ALIASES = Path(__file__).parent / "watchlist_aliases.yaml"

_NOBODY = WatchlistEntry(id="-", name="--")
_SYMBOL = re.compile(r"[A-Z]{1,5}(?:\.[A-C])?")


@dataclass(slots=True)
class _Company:
    """A company while its names are gathered; the first symbol is its id, `legal` its name where all others are taken."""

    legal: str
    symbols: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add(self, symbol: str, name: str) -> None:
        if symbol not in self.symbols:
            self.symbols.append(symbol)
        if name.lower() not in (each.lower() for each in self.names):
            self.names.append(name)


def read_symbols(path: Path) -> list[tuple[str, str]]:
    """(symbol, name) of each row: the first two columns of the listing."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if len(row) > 1][1:]
    except OSError as error:
        raise ConfigError(f"cannot read the listing: {error.strerror}", file=str(path)) from error
    return [(row[0].strip(), row[1].strip()) for row in rows if _SYMBOL.fullmatch(row[0].strip())]


def build(large: Iterable[tuple[str, str]], listed: Iterable[tuple[str, str]]) -> list[WatchlistEntry]:
    """One entry a company, those of the index first.

    A name that is an English word is kept plain only where the list of spoken names has it (Target), else with its legal form
    (News Corp, Root Inc), since the word alone would mostly be the word. Of the index that means words proper; of others
    also names of places and people.
    """
    spoken = {entry.id: entry for entry in load_watchlist(ALIASES).entries}
    words = load_common_words()
    vocabulary = words | whole_words(minilm())
    companies: dict[str, _Company] = {}
    for symbol, security in large:
        named = re.sub(r"\s*\([^)]*\)|[.,](?=\s|$)", "", security)
        names = Names(legal=named, plain=strip_legal_form(named))
        company = companies.setdefault(named.lower(), _Company(legal=named))
        company.add(symbol, _usable(names, words, spoken.get(symbol)))
    by_symbol = {symbol: company for company in companies.values() for symbol in company.symbols}
    for symbol, security in listed:
        found = company_names(security)
        if found is not None:
            if by_symbol.get(symbol) is None and found.legal.lower() in words:
                continue  # a company called by a mere English word (Bullish) would be found in every other text
            company = by_symbol.get(symbol) or companies.setdefault(found.legal.lower(), _Company(legal=found.legal))
            company.add(symbol, _usable(found, words if symbol in by_symbol else vocabulary, spoken.get(symbol)))
    short = short_forms([company.names[0] for company in companies.values()], vocabulary=vocabulary)
    return _entries(companies.values(), short, spoken)


def _usable(names: Names, words: frozenset[str], spoken: WatchlistEntry | None) -> str:
    known = spoken is not None and names.plain in spoken.surfaces
    return names.plain if known or names.plain.isupper() or names.plain.lower() not in words else names.legal


def _entries(companies: Iterable[_Company], short: dict[str, str], spoken: dict[str, WatchlistEntry]) -> list[WatchlistEntry]:
    """The entries, no name of which belongs to two companies: spoken names go first, then the order of the lists.

    A spoken entry without a listed company (Twitter) stands for itself.
    """
    taken = {alias.lower(): symbol for symbol, entry in spoken.items() for alias in entry.surfaces}
    entries = {}
    for company in companies:
        symbol = company.symbols[0]
        shortened = [short[company.names[0]]] if company.names[0] in short else []
        extra = spoken.get(symbol, _NOBODY)
        wanted = dict.fromkeys((*company.names, *shortened, *(extra.surfaces if extra is not _NOBODY else ())))
        names = [name for name in wanted if len(name) > 1 and taken.setdefault(name.lower(), symbol) == symbol]
        if not names and taken.setdefault(company.legal.lower(), symbol) == symbol:
            names = [company.legal]
        if names:
            tickers = tuple(dict.fromkeys((*company.symbols, *extra.tickers)))
            aliases = tuple(names[1:])
            entry = WatchlistEntry(id=symbol, name=names[0], aliases=aliases, tickers=tickers, excludes=extra.excludes)
            entries[symbol] = entry
    listed = {ticker for entry in entries.values() for ticker in entry.tickers}
    return [*entries.values(), *(entry for symbol, entry in spoken.items() if symbol not in listed)]


def write(entries: Iterable[WatchlistEntry], path: Path) -> None:
    """Write JSON, one entry a line: it loads in a hundredth of YAML's time, and a change shows as one line."""
    lines = []
    for entry in entries:
        fields = {key: value for key, value in msgspec.to_builtins(entry).items() if value}
        lines.append(msgspec.json.encode(fields).decode())
    path.write_text('{"entries": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


def main(
    sp500: Annotated[Path, typer.Option(help="S&P 500 constituents: Symbol, Security, …")],
    nyse: Annotated[Path, typer.Option(help="NYSE listing: symbol, name.")],
    nasdaq: Annotated[Path, typer.Option(help="Nasdaq listing: symbol, name.")],
    out: Annotated[Path, typer.Option(help="The watchlist to write, .json.")],
) -> None:
    """Write the watchlist of the listed companies."""
    entries = build(read_symbols(sp500), [*read_symbols(nyse), *read_symbols(nasdaq)])
    write(entries, out)
    print(f"{len(load_watchlist(out).entries)} companies in {out}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except (GroundswellError, yaml.YAMLError) as error:
        sys.exit(f"error: {error}")
