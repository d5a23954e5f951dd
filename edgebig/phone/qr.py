"""A URL as a QR code of text, two modules to a character."""

from __future__ import annotations


def text(url: str, *, colour: bool) -> str:
    """Lines of block characters; `colour`: with the escapes that make it dark on light in every terminal."""
    import segno

    # Level L: a screen is not dirty, and fewer modules fit into 80 columns.
    rows = [list(row) for row in segno.make(url, error="l", micro=False).matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        # Most terminals write light on dark: without colours the light modules are what is drawn.
        drawn = [(bool(a) == colour, bool(b) == colour) for a, b in zip(upper, lower, strict=True)]
        line = "".join(_BLOCKS[both] for both in drawn)
        lines.append(f"{_DARK_ON_LIGHT}{line}{_PLAIN}\n" if colour else f"{line}\n")
    return "".join(lines)


_DARK_ON_LIGHT, _PLAIN = "\x1b[30;107m", "\x1b[0m"
_BLOCKS = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
