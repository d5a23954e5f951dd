"""What a page says of its browser, held to a shape and a size, and in a few words for people."""

from __future__ import annotations

import math
import re
from typing import Any

_LONGEST = 300
_MOST_KEYS = 48
_DEEPEST = 3

# In this order: Edge, Opera and Samsung's browser say Chrome too, and Chrome says Safari.
_BROWSERS = (
    ("Edge", r"Edg(?:A|iOS)?/(\d+)"),
    ("Opera", r"OPR/(\d+)"),
    ("Samsung Internet", r"SamsungBrowser/(\d+)"),
    ("Firefox", r"(?:Firefox|FxiOS)/(\d+)"),
    ("Chrome", r"(?:HeadlessChrome|CriOS|Chrome)/(\d+)"),
    ("Safari", r"Version/(\d+)[\d.]* (?:Mobile/\w+ )?Safari"),
)
_SYSTEMS = (
    ("Android", r"Android (\d+)"),
    ("iOS", r"(?:iPhone|CPU) OS (\d+)"),
    ("Windows", r"Windows NT"),
    ("macOS", r"Mac OS X"),
    ("ChromeOS", r"CrOS"),
    ("Linux", r"Linux"),
)


def checked(told: object) -> dict[str, Any]:
    """`told` where it is a small JSON object of sane values. Raises ValueError, which says what it is not."""
    if not isinstance(told, dict):
        raise ValueError("facts: not an object")
    return _object(told, 0)


def _object(told: dict[Any, Any], depth: int) -> dict[str, Any]:
    if depth > _DEEPEST or len(told) > _MOST_KEYS:
        raise ValueError("facts: too many")
    return {cut(str(key)): _value(value, depth + 1) for key, value in told.items()}


def _value(value: object, depth: int) -> Any:
    if isinstance(value, str):
        return cut(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > 1e18:
            raise ValueError("facts: a number that is none")
        return value
    if isinstance(value, dict):
        return _object(value, depth)
    if isinstance(value, list):
        if depth > _DEEPEST or len(value) > _MOST_KEYS:
            raise ValueError("facts: too many")
        return [_value(item, depth + 1) for item in value]
    raise ValueError("facts: not JSON")


def cut(text: str) -> str:
    """Cut to a length. What could steer a terminal is escaped where it is printed; a lone surrogate fits no file."""
    return text[:_LONGEST].encode("utf-8", "replace").decode()


def text_of(facts: dict[str, Any], name: str) -> str:
    """A fact that is a text, "" where it is none."""
    value = facts.get(name)
    return value if isinstance(value, str) else ""


def browser(facts: dict[str, Any]) -> str:
    """As in: Chrome 143; "a browser" where the user agent says nothing that is known."""
    return _first(_BROWSERS, text_of(facts, "user_agent")) or "a browser"


def system(facts: dict[str, Any]) -> str:
    """As in: Android 15; what newer browsers still tell of it, which is often too old a version."""
    return _first(_SYSTEMS, text_of(facts, "user_agent")) or text_of(facts, "platform") or "unknown"


def _first(known: tuple[tuple[str, str], ...], text: str) -> str:
    for name, pattern in known:
        if match := re.search(pattern, text):
            return " ".join((name, *match.groups()))
    return ""


def model(facts: dict[str, Any]) -> str:
    """What the phone is called, "" where the browser does not tell."""
    told = text_of(facts, "model")
    if not told and (match := re.search(r"\((iPhone|iPad)", text_of(facts, "user_agent"))):
        return match[1]
    return told


def about(facts: dict[str, Any]) -> str:
    """As in: Pixel 8, Android 15, Chrome 143."""
    return ", ".join(part for part in (model(facts), system(facts), browser(facts)) if part)


def is_stand_in(facts: dict[str, Any]) -> bool:
    """A browser that nobody holds: one that a program drives, or that has no screen."""
    return facts.get("automated") is True or "Headless" in text_of(facts, "user_agent")
