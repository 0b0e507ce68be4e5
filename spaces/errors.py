"""How bad input is told: where, what is wrong, what came, what would be right."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from spaces.toml import key_text, value_text

_LONGEST_VALUE = 80
_MOST_WORDS = 12
_CLOSE = 0.65  # of difflib: "mpl" is close to "mlp", but "bayes" is not to "cmaes"
_MOST_LETTERS = 300  # of other people's messages
_BOLD = re.compile(r"\x1b\[[\d;]*m")  # how Keras sets off the cause of an error in a layer


class InputError(Exception):
    """What a user wrote cannot be used: every problem of one file (or one name) at once.

    Args:
        where: The file, or the name, that the problems are about.
        problems: One line a problem, such as ``parameters.lr.low: must be a number (came "a")``.
    """

    exit_code = 2

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        super().__init__(where, list(problems))
        self.where = where
        self.problems = list(problems)

    def __str__(self) -> str:
        return f"{self.where}: {together(self.problems)}"


class LawError(ValueError):
    """Several broken laws at once, raised inside a pydantic validator.

    Args:
        problems: Pairs of a key path relative to the model that raises, "" for the model itself, and the law.
    """

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(f"{key}: {law}" if key else law for key, law in self.problems))


def together(problems: Sequence[str]) -> str:
    """One problem as it is; several as a list, a line each, below their number."""
    return problems[0] if len(problems) == 1 else "\n  ".join([f"{len(problems)} problems", *problems])


def in_a_line(error: Exception) -> str:
    """What an error of other people's code says: its class and the first words of its message."""
    return f"{type(error).__name__}: {first_words(error)}"


def first_words(error: Exception) -> str:
    """The first line of an error's message; where it only says that a cause follows, as Keras's of a layer, both."""
    lines = [line.strip() for line in _BOLD.sub("", str(error)).splitlines() if line.strip()] or ["no message"]
    cause_follows = lines[0].startswith("Exception encountered when calling") or lines[0].endswith(":")
    return " ".join(lines[: 2 if cause_follows else 1])[:_MOST_LETTERS]


def shown(value: object) -> str:
    """A value as a user would write it in a TOML file, cut where it is long."""
    text = value_text(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def listed(words: Iterable[object], last: str = "or") -> str:
    """Values as a sentence has them: ``"adam", "sgd" or "rmsprop"``."""
    texts = [shown(word) for word in words]
    return f" {last} ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a line about an unknown word: ``; did you mean "high"?``, or else the words there are."""
    words = list(known)
    if (close := close_match(word, words)) or not words:
        return close
    if len(words) > _MOST_WORDS:
        return f"; there are {', '.join(map(shown, words[:_MOST_WORDS]))} and {len(words) - _MOST_WORDS} more"
    return f"; there {'are' if len(words) > 1 else 'is'} {listed(words, 'and')}"


def close_match(word: str, known: Iterable[str]) -> str:
    """``; did you mean "high"?``, or nothing where no known word is close."""
    words = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), words, n=1, cutoff=_CLOSE)
    return f'; did you mean "{words[close[0]]}"?' if close else ""


def key_path(parts: Iterable[str | int]) -> str:
    """Keys as TOML writes a dotted key, positions in brackets: ``enqueue[0].units``."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += ("." if path else "") + key_text(part)
    return path
