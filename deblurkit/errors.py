"""The one exception for a user's mistake, and wordings that messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user gave: printed without a traceback, one line a problem, exit code 2.

    Args:
        problems: One finished line each: where it is, what it got, what was expected.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CheckpointError(UserError):
    """A checkpoint or a weight file cannot be read, or does not hold what is asked of it."""


class MissingSetError(UserError):
    """A published data set lies in no folder of this machine; ``brief`` says in one line where, and how to get it."""

    def __init__(self, *problems: str, brief: str) -> None:
        super().__init__(*problems)
        self.brief = brief


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ``" (did you mean 'X'?)"`` for the known name closest to ``name``, or an empty string.

    >>> did_you_mean("DeblurGan", ["DeblurGAN", "MADN"])
    " (did you mean 'DeblurGAN'?)"
    """
    names = sorted(known)
    folded = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return f" (did you mean '{folded[close[0]]}'?)" if close else ""


def said_by_system(error: BaseException) -> str | None:
    """Returns what the system refused, and of which file, in one line; ``None`` for any other error."""
    if not isinstance(error, OSError) or error.errno is None:  # without a number it is a library's own
        return None
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)


def one_line(error: Exception) -> str:
    """Returns what an exception says, in one line; its class where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: Exception) -> str:
    """Returns the first line of what an exception says; ``""`` where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "")
