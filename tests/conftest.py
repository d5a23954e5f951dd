"""What every test gets: a user's state of its own, the shared data, and skips that are accounted for.

    @pytest.mark.tf, slow, browser, arm, network    the tiers; a test without a mark is fast: no TensorFlow, no network
    @pytest.mark.hardware("raspberry-pi")           deselected, unless `--hardware raspberry-pi` asks for it
    def test_x(shared): ...                         the folder of development data, or a skip that names it
    def test_x(environments): environments("vela")  makes that environment (mark it `network` and `slow`)
    def test_x(boards): boards("emulated-pi-4")     makes that board (mark it `arm`, `network` and `slow`)

With CI=true a skip fails, unless EXPECTED_SKIPS says why the platform cannot do without it.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
import typer.testing
from hypothesis import settings

from tests.commandline import Done, Edgebig, exit_code

ROOT = Path(__file__).resolve().parent.parent
# Small matrices on two cores: OpenBLAS's threads would spin more than they compute, and beside xdist's workers.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # As many workers as cores, each with as many threads of TensorFlow's as cores, would wait for each other.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# Hypothesis's deadline of 200 ms an example is a timing test, and these machines stall.
settings.register_profile("edgebig", deadline=None)
settings.load_profile("edgebig")

# A shell that starts its jobs in the background has them ignore Ctrl-C, and so would the children that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(os.environ.get("EDGEBIG_SHARED", ROOT.parent / "shared")).resolve()
USERS_ENVIRONMENT = dict(os.environ)
IN_CI = os.environ.get("CI") == "true"
TIERS_WITH_NETWORK = {"network", "browser", "arm"}
TIERS_WITH_TENSORFLOW = {"tf"}
# A test with the mark skips where none of these is installed; .ci/run installs them.
PROGRAMS_OF = {
    "browser": ("Chromium", ("chromium", "chromium-browser", "google-chrome")),
    "arm": ("qemu-user-static", ("qemu-aarch64-static", "qemu-aarch64")),
}
LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


class Expected(NamedTuple):
    """A reason (a pattern from its start) that is expected to skip on the platforms where `here` is true."""

    reason: str
    here: bool


EXPECTED_SKIPS = (
    Expected(r"needs a user who is not root", os.geteuid() == 0),  # root may write to a read-only folder
    Expected(r"needs root", os.geteuid() != 0),
    Expected(r"needs Linux", sys.platform != "linux"),
    Expected(r"needs Debian bullseye", True),  # a mirror may have put it away
    Expected(
        r"needs Python 3\.11 or older", sys.version_info >= (3, 12)
    ),  # tflite-runtime has no newer wheels
)


def is_expected(reason: str) -> bool:
    return any(expected.here and re.match(expected.reason, reason) for expected in EXPECTED_SKIPS)


def _fail_unexpected_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (IN_CI and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not is_expected(reason):
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} skipped in CI: {reason}\n"
            "Bring what it needs, or say in EXPECTED_SKIPS of tests/conftest.py where it cannot be had."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    _fail_unexpected_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    loaded_before = "tensorflow" in sys.modules
    report = yield
    _fail_unexpected_skip(report)
    # Every tier collects every module, so that what one imports at its top all of them pay for.
    if "tensorflow" in sys.modules and not loaded_before:
        report.outcome = "failed"
        report.longrepr = (
            f"{collector.nodeid} loads TensorFlow when it is collected: import it within the tests"
        )
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hardware",
        action="append",
        default=[],
        metavar="NAME",
        help="also run the tests that need this device",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked_for = set(config.getoption("--hardware"))
    kept, dropped = [], []
    for item in items:
        needed = {name for mark in item.iter_markers("hardware") for name in mark.args}
        (kept if needed <= asked_for else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, (program, names) in PROGRAMS_OF.items():
        if item.get_closest_marker(mark) and not any(map(shutil.which, names)):
            pytest.skip(f"needs {program}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        terminalreporter.section("skips")
        for reason, count in sorted(reasons.items()):
            verdict = "expected here" if is_expected(reason) else "would fail in CI"
            terminalreporter.line(f"{count:4} {reason} ({verdict})")


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The homes to be of the tests; numbered here, since pytest reads all names each time to find a free one."""
    folder = tmp_path_factory.mktemp("home", numbered=False)
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def users_state(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own: no settings, caches or colours of the user get in, and nothing is left there."""
    home = next(homes)
    home.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    for name, folder in {
        "CACHE": ".cache",
        "CONFIG": ".config",
        "DATA": ".local/share",
        "STATE": ".local/state",
    }.items():
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / folder))
    # adb starts no server where it takes the address for another machine's.
    monkeypatch.setenv("ADB_SERVER_SOCKET", "tcp:127.0.0.1:1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    # Typer and rich take each of these for a terminal.
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in os.environ:
        if name.startswith("EDGEBIG_") and name != "EDGEBIG_SHARED":
            monkeypatch.delenv(name)
    return home


@pytest.fixture(autouse=True)
def tier_is_kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test without the mark for it reaches no network and loads no TensorFlow."""
    marks = {mark.name for mark in request.node.iter_markers()}
    if not marks & TIERS_WITH_NETWORK:
        connect = socket.socket.connect

        def connect_nearby(self: socket.socket, address: Any) -> None:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(LOOPBACK):
                pytest.fail(f"a test without the mark `network` connects to {address}")
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", connect_nearby)
    loaded_before = "tensorflow" in sys.modules
    yield
    if "tensorflow" in sys.modules and not loaded_before and not marks & TIERS_WITH_TENSORFLOW:
        pytest.fail("a test without the mark `tf` loads TensorFlow")


@pytest.fixture(scope="session", autouse=True)
def the_command_line_is_built_once() -> Iterator[None]:
    """Typer reads the annotations of all commands for each call of the command line: 30 ms, hundreds of times."""
    built = functools.cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", built)
        patch.setattr(typer.testing, "_get_command", built)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data, which is not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the development data: no folder {SHARED} (set EDGEBIG_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def users_environment() -> dict[str, str]:
    """The environment as the user has it, for the few tests whose child needs it (pip and its configuration)."""
    return dict(USERS_ENVIRONMENT)


@pytest.fixture(scope="session")
def boards(users_environment: dict[str, str]) -> Callable[[str], Path]:
    """Makes the emulated board of a name, in the user's own cache (mark it `arm`, `network` and `slow`): its folder."""
    from tests import boards as emulated

    return lambda name: emulated.made(name, users_environment)


@pytest.fixture
def environments(users_state: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes the environment of a name, in the user's own cache, where the next test and the next run find it."""
    from edgebig import environment, lookup

    def make(name: str) -> Path:
        with monkeypatch.context() as as_the_user:
            for variable in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
                as_the_user.delenv(variable, raising=False)
                if variable in USERS_ENVIRONMENT:
                    as_the_user.setenv(variable, USERS_ENVIRONMENT[variable])
            users = environment.add(name).parents[2]
        here = lookup.cache_dir() / "environments"
        if not here.exists():
            here.parent.mkdir(parents=True, exist_ok=True)
            here.symlink_to(users)
        return environment.python(name)

    return make


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """Of browsers in all tests of a process, which can have one alone."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as driver:
        yield driver


@pytest.fixture
def edgebig(capsys: pytest.CaptureFixture[str]) -> Edgebig:
    """`edgebig ARGUMENTS` as its entry point runs it, in this process."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        code = exit_code(*arguments)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return run
