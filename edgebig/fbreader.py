"""A flatbuffer read within its bounds.

The flatbuffers library for Python does not verify what it reads: a damaged file gives a struct.error, a loop
over four thousand million elements, or nonsense. `read_table` bounds every offset, every length and the total
work by the file's size.
Format: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from typing import Any

# A table's fields in the order of their slots, as name:kind, with =n for a default other than 0. Kinds are a
# scalar, str, a table, [a vector of one of them], or A|B|table: a union whose type stands in the slot before.
# `table` is bounded, but its fields are not read.
Schema = Mapping[str, str]
# Told of every piece that is read: its first byte, the one behind its last, and the fields and places that led there.
Claim = Callable[[int, int, tuple[str | int, ...]], None]
STRUCT_CODES = {"u8": "B", "i8": "b", "u16": "H", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f32": "f"}


class DamagedError(Exception):
    """An offset, a length or an index of the flatbuffer leads out of it."""


def read_table(
    data: bytes, schema: Schema, table: str, claim: Claim | None = None
) -> tuple[dict[str, Any], int]:
    """The flatbuffer `data` as nested dicts by `schema`, and the end of what was read; `claim` hears what lies where.

    Scalars are int or float, strings str, vectors of scalars tuples (of bytes: a memoryview), vectors of
    tables lists; an absent string is "", an absent vector empty and an absent table None. The work and the
    memory are linear in len(data). Raises: DamagedError.
    """
    reader = _Reader(data, schema, claim)
    return reader.table(reader.follow(0), table), reader.end


@functools.cache
def fields(spec: str) -> list[tuple[str, str, int]]:
    """A table's fields from its line in a Schema: name, kind, default."""
    found = []
    for field in spec.split():
        field_name, kind = field.split(":")
        kind, _, default = kind.partition("=")
        found.append((field_name, kind, int(default or 0)))
    return found


class _Reader:
    def __init__(self, data: bytes, schema: Schema, claim: Claim | None) -> None:
        self.data = memoryview(data)
        self.schema = schema
        self.claim = claim
        self.path: list[str | int] = []
        self.end = 0
        # Tables may be shared, but a small file must not unfold into a huge one.
        self.budget = 4 * len(data) + 1024

    def spend(self, start: int, size: int) -> None:
        if start < 0 or start + size > len(self.data):
            raise DamagedError(f"bytes {start} to {start + size} are not in it")
        self.end = max(self.end, start + size)
        self.budget -= size
        if self.budget < 0:
            raise DamagedError("its tables overlap")

    def note(self, start: int, end: int) -> None:
        if self.claim is not None:
            self.claim(start, end, tuple(self.path))

    def number(self, code: str, at: int) -> Any:
        if at < 0 or at + struct.calcsize(code) > len(self.data):
            raise DamagedError(f"byte {at} is not in it")
        return struct.unpack_from("<" + code, self.data, at)[0]

    def follow(self, at: int) -> int:
        return at + int(self.number("I", at))

    def table(self, at: int, kind: str) -> dict[str, Any]:
        vtable = at - self.number("i", at)
        vtable_size, table_size = self.number("H", vtable), self.number("H", vtable + 2)
        if vtable_size < 4 or table_size < 4:
            raise DamagedError(f"a table at byte {at} has no size")
        self.number(f"{vtable_size}s", vtable)
        self.spend(at, table_size)
        self.note(vtable, vtable + vtable_size)
        self.note(at, at + table_size)
        if kind == "table":
            return {}
        values: dict[str, Any] = {}
        previous = 0
        for slot, (name, field_kind, default) in enumerate(fields(self.schema[kind])):
            entry = 4 + 2 * slot
            offset = self.number("H", vtable + entry) if entry + 2 <= vtable_size else 0
            if offset >= table_size:
                raise DamagedError(f"a field at byte {at} lies outside its table")
            union = field_kind.split("|")
            one_kind = (
                field_kind
                if len(union) == 1
                else union[min(previous, len(union)) - 1]
                if previous
                else "table"
            )
            self.path.append(name)
            values[name] = previous = (
                self.value(at + offset, one_kind) if offset else _absent(one_kind, default)
            )
            self.path.pop()
        return values

    def value(self, at: int, kind: str) -> Any:
        if kind in STRUCT_CODES:
            return self.number(STRUCT_CODES[kind], at)
        at = self.follow(at)
        if kind == "str" or kind == "[u8]":
            length = self.number("I", at)
            self.spend(at + 4, length)
            # A string has a zero behind it that its length does not count.
            self.note(at, min(at + 4 + length + (kind == "str"), len(self.data)))
            content = self.data[at + 4 : at + 4 + length]
            return str(content, "utf-8", "replace") if kind == "str" else content
        if not kind.startswith("["):
            return self.table(at, kind)
        kind, count = kind[1:-1], self.number("I", at)
        if kind in STRUCT_CODES:
            self.spend(at + 4, count * struct.calcsize(STRUCT_CODES[kind]))
            self.note(at, at + 4 + count * struct.calcsize(STRUCT_CODES[kind]))
            return struct.unpack_from(f"<{count}{STRUCT_CODES[kind]}", self.data, at + 4)
        self.spend(at + 4, count * 4)
        self.note(at, at + 4 + count * 4)
        found = []
        for i in range(count):
            self.path.append(i)
            found.append(self.value(at + 4 + 4 * i, kind))
            self.path.pop()
        return found


def _absent(kind: str, default: int) -> Any:
    if kind in STRUCT_CODES:
        return default
    return "" if kind == "str" else () if kind.startswith("[") else None
