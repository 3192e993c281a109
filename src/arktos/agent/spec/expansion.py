"""References of the form `$(NAME)` in commands, arguments, values and subPathExpr.

`$$` writes one dollar, so `$$(NAME)` is the text `$(NAME)`. A reference to what is not defined stays as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from arktos.agent.spec.facts import ConfigError

Lookup = Callable[[str], str | None]


def expand(text: str, lookup: Lookup) -> str:
    """`text` with its references replaced by what `lookup` gives; one for which it gives None stays. What was put in
    is not looked at again."""
    written: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0 and dollar + 1 < len(text):
        written.append(text[at:dollar])
        following = text[dollar + 1]
        end = text.find(")", dollar + 2) if following == "(" else -1
        if end >= 0:
            value = lookup(text[dollar + 2 : end])
            written.append(text[dollar : end + 1] if value is None else value)
            at = end + 1
        else:
            written.append("$" if following == "$" else "$" + following)
            at = dollar + 2
    written.append(text[at:])
    return "".join(written)


def expand_all(texts: Iterable[str] | None, environment: Mapping[str, str]) -> list[str]:
    """A command or its arguments, expanded."""
    return [expand(text, environment.get) for text in texts or ()]


def expand_strictly(text: str, environment: Mapping[str, str]) -> str:
    """As `expand`, but ConfigError for a reference to what is not defined: a path must not contain one."""

    def lookup(name: str) -> str:
        if name not in environment:
            raise ConfigError(f'missing value for "{name}"')
        return environment[name]

    return expand(text, lookup)
