"""An account as Markdown, read back by a parser that is not ours."""

from __future__ import annotations

import html
import re

from assay.account import Account, Table
from assay.reports.account import markdown

HOSTILE = "a|b <img src=x> [c](http://d) `e` *f* _g_ \\ h"


def cells(text: str) -> list[str]:
    from markdown_it import MarkdownIt

    page = MarkdownIt("commonmark").enable("table").render(text)
    assert "<img" not in page and "<a " not in page
    return [html.unescape(cell) for cell in re.findall(r"<t[dh]>(.*?)</t[dh]>", page)]


def test_every_cell_reads_as_it_was_given():
    table = Table(title="t", head=("x", HOSTILE), rows=((HOSTILE, "1"), ("2\n3", "\u202e")), note=HOSTILE)
    told = markdown(Account(title=HOSTILE, question="q", seen=(HOSTILE,), tables=(table,), limits=("l",), sources=("s",)))
    assert cells(told) == ["x", HOSTILE, HOSTILE, "1", "2 3", "\\u202e"]
    assert told.endswith("Sources: s.\n")
    broken = told.replace("\\|", "|")                               # a bar that is not escaped opens a column
    assert cells(broken) != cells(told)
