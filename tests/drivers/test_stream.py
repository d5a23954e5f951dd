"""Events of a process behind a shell: what stands before them, the host's sign of life, and a death that is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.drivers import stream
from edgebig.drivers.protocol import Event
from edgebig.errors import DeviceError

MARK = "5b1d0c2f"
DONE = json.dumps({"event": "result"})


def events(script: str, **changes: Any) -> Iterator[Event]:
    values: dict[str, Any] = {"own_pipe": False, "after": MARK, **changes}
    return stream.events(["sh", "-c", script], {"task": 1}, 20.0, **values)


def test_what_a_shell_prints_first_is_no_event() -> None:
    seen = events(f"echo Welcome; printf 'half a line'; printf '\\n{MARK}\\n'; echo '{DONE}'")
    assert list(seen) == [{"event": "result"}]


@settings(max_examples=20)
@given(noise=st.binary(max_size=300))
def test_whatever_it_prints_first(noise: bytes) -> None:
    octal = "".join(f"\\{byte:03o}" for byte in noise)
    seen = events(
        f"printf '%b' '{octal.replace(chr(92), chr(92) + '0')}'; printf '\\n{MARK}\\n'; echo '{DONE}'"
    )
    assert list(seen) == [{"event": "result"}]


def test_it_stands_in_the_error_where_no_event_came() -> None:
    with pytest.raises(DeviceError, match=r"exit code 7.*\nThis account is locked."):
        list(events("echo This account is locked.; exit 7"))


def test_a_mark_within_a_line_is_none() -> None:
    assert list(events(f"echo 'not {MARK}'; echo '{DONE}'")) == []


COUNT = """
import sys, time
print("MARK", flush=True)
task = sys.stdin.readline().strip()
beats = sys.stdin.readline() + sys.stdin.readline()
print('{"event": "beats", "beats": %d, "task": %s}' % (beats.count("\\\\n"), task), flush=True)
""".replace("MARK", MARK).replace("\\\\", "\\")


def test_the_host_says_that_it_is_there() -> None:
    command = [sys.executable, "-c", COUNT]
    seen = list(stream.events(command, {"a": 1}, 20.0, own_pipe=False, after=MARK, heartbeat_s=0.02))
    assert seen == [{"event": "beats", "beats": 2, "task": {"a": 1}}]


ECHO = """
import sys
print("MARK", flush=True)
sys.stdin.readline()
for line in sys.stdin:
    print('{"event": "heard", "line": %s}' % line.strip(), flush=True)
""".replace("MARK", MARK)


def test_what_the_host_says_meanwhile() -> None:
    says = stream.Says()
    says.say({"n": 1})  # before there is a process
    heard = stream.events([sys.executable, "-c", ECHO], {}, 20.0, own_pipe=False, after=MARK, says=says)
    assert next(heard) == {"event": "heard", "line": {"n": 1}}
    says.say({"n": 2})
    assert next(heard) == {"event": "heard", "line": {"n": 2}}
    heard.close()
    says.say({"n": 3})  # nobody hears it, and it is no fault


def test_a_death_is_named_by_who_knows_the_way() -> None:
    def died(code: int, printed: str) -> DeviceError | None:
        return DeviceError(f"{code}: {printed}", "the way is blocked") if code == 255 else None

    with pytest.raises(DeviceError, match="255: no route") as caught:
        list(events("echo no route >&2; exit 255", died=died))
    assert caught.value.hint == "the way is blocked"
    with pytest.raises(DeviceError, match="the runner ended with exit code 3"):
        list(events("exit 3", died=died))


def test_without_a_deadline_it_waits() -> None:
    seen = stream.events(["sh", "-c", f"echo '{DONE}'"], None, None, own_pipe=False)
    assert list(seen) == [{"event": "result"}]
