#!/usr/bin/env python3
"""Makes edgebig/data/hershey.txt, letters of seven hands, from the Hershey fonts that Hershey-Fonts 2.1.0 ships.

    pip install Hershey-Fonts==2.1.0 && python tools/make_hershey.py [--check]

The file is committed, so nobody needs this but to see where it came from, and which letters were left out: those that
are a digit to somebody in that hand. `--check` compares with the committed file and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from HersheyFonts import HersheyFonts

TARGET = Path(__file__).resolve().parent.parent / "edgebig" / "data" / "hershey.txt"
HEADER = """\
# The Hershey Fonts were originally created by Dr. A. V. Hershey while working at the U. S. National Bureau of
# Standards. The format of the Font data in this distribution was originally created by James Hurt, Cognition, Inc.,
# 900 Technology Park Drive, Billerica, MA 01821 (mit-eddie!ci-dandelion!hurt).
# A line is a letter: its hand, its name, and its strokes, each pairs of x and y, counted from the sign R, y downwards.
# Made by tools/make_hershey.py, which says what was left out.
"""
_UPPER, _LOWER = "ACEFHKLMNPRUVWX", "acdefhkmnprtuvwx"
# Of a hand: the font, and its letters that stay. The keys of Greek and Cyrillic are the font's, not the alphabet's.
HANDS = {
    "sans": ("futural", _UPPER + _LOWER + "#&*+@=^~<"),
    "bold": ("futuram", _UPPER + _LOWER + "&*"),
    "serif": ("timesr", _UPPER + _LOWER + "&#"),
    "italic": ("timesi", _UPPER + _LOWER),
    # L, F and f are a 2, a 7 and an 8 with loops.
    "script": ("scripts", "ACEHKMNPRUVWX" + "acdehkmnprtuvwx" + "&"),
    # Left out: beta, zeta, theta, iota, omicron, psi, of the small ones gamma, delta, nu, xi, sigma, of the large tau.
    "greek": ("greeks", "ACDEGJKLMNPQRUVX" + "aegjklpqstuvx"),
    # Left out: be, e, che, o, te, u, ze, ve, the hard and the soft sign: like 6, 3, 4, 0, 7, 9, 3 and 8.
    "cyrillic": ("cyrillic", "ADEFGHKLMNPQRSUWX" + "adefghiklmnpqrsuwx"),
}
NAMES = {"#": "hash", "&": "and", "*": "star", "+": "plus", "@": "at", "=": "equals", "^": "hat", "~": "tilde",
         "<": "less"}  # fmt: skip


def text() -> str:
    lines, fonts = [HEADER], HersheyFonts()
    for hand, (font, letters) in HANDS.items():
        fonts.load_default_font(font)
        for letter in letters:
            strokes = [
                "".join(chr(ord("R") + round(at)) for point in stroke for at in point)
                for stroke in fonts.all_glyphs[letter].strokes
                if len(stroke) > 1
            ]
            lines.append(f"{hand} {NAMES.get(letter, letter)} {' '.join(strokes)}\n")
    return "".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    made = text()
    if not parser.parse_args().check:
        TARGET.write_text(made, encoding="ascii")
        return 0
    if TARGET.read_text(encoding="ascii") != made:
        print(f"{TARGET} is not what this makes", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
