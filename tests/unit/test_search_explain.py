"""Queries in plain words."""

import pytest

from search.explain import explain
from search.kql import parse


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "every document matches"),
        ("not *", "no document matches"),
        ("default", "the text has default"),
        ("debt default", "the text has any of debt, default"),
        ('"debt default"', 'the text has "debt default"'),
        ("not default", "the text does not have default"),
        ("def*", "the text has def*"),
        ("sentiment.label:negative and topic.label:*", "sentiment.label is negative and topic.label exists"),
        ("not sentiment.label:negative", "sentiment.label is not negative"),
        ("title:debt default", "title has any of debt, default"),
        ('not title:"debt default"', 'title does not have "debt default"'),
        ('source:"the wire"', "source is the wire"),
        ('source:""', "source is empty"),
        ("source:w*", "source is like w*"),
        ("author:null", "author does not exist"),
        ("not author:*", "author does not exist"),
        ("not author:null", "author exists"),
        ("extra.live:true", "extra.live is true"),
        ("amount >= 100", "amount is at least 100"),
        ("not amount < 100", "amount is not less than 100"),
        ("time:2022-11", "time is in 2022-11"),
        ("time > 2022-11-11", "time is after 2022-11-11"),
        ("time >= now-2w", "time is no earlier than 2 weeks ago"),
        ("time < now+1h", "time is before 1 hour from now"),
        ("time <= now/d", "time is no later than now/d"),
        ("a or b and c", "the text has a, or the text has b and the text has c"),
        (
            "a and (b or (c and d))",
            "the text has a, and (the text has b, or the text has c and the text has d)",
        ),
        ("not (a or b)", "it is not so that (the text has a or the text has b)"),
    ],
)
def test_a_query_is_said_in_plain_words(query: str, words: str) -> None:
    assert explain(parse(query)) == words
