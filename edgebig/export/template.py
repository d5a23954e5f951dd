"""The files of text that an export fills in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

FOLDER = Path(__file__).with_name("templates")


def filled(name: str, words: Mapping[str, str]) -> bytes:
    """The template `name` with its $words, all of which must be given."""
    text = (FOLDER / f"{name}.template").read_text("utf-8")
    return Template(text).substitute(words).encode()


def plain(text: str) -> str:
    """A name from a card, for a file of text: what is no letter or figure cannot steer a terminal or Markdown."""
    return "".join(char if char.isalnum() or char in " .,_-+()" else "_" for char in text)
