"""Text and tables in Markdown, in which nothing from a study is taken for markup."""

import html
import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"([\\`*\[\]#!|~$]|\b_|_\b)")


def escaped(text: str) -> str:
    """Text that reads as it is, on one line: no markup and no HTML."""
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def bullets(sentences: Iterable[str]) -> str:
    """A list, an item a sentence."""
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], names: int | Sequence[bool] = 1) -> str:
    """A table.

    Args:
        header: One text a column.
        rows: As many texts each.
        names: Which columns hold names, or how many, from the left; the others hold numbers and stand to the right.
    """
    left = [place < names for place in range(len(header))] if isinstance(names, int) else names
    rule = ["---" if is_name else "---:" for is_name in left]
    lines = [[escaped(name) for name in header], rule, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: str, language: str = "") -> str:
    """A block of text as it is; the fence is longer than any in the text."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
