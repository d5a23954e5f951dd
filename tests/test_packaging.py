"""What pip gets: the extras, the wheel, the locks, and a set-up that says what it lacks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import edgebig

ROOT = Path(__file__).resolve().parent.parent
TENSORFLOW = {
    "tensorflow",
    "tensorflow-cpu",
    "tf-keras",
    "keras",
    "tensorflow-model-optimization",
    "torch",
    "jax",
}
UNREACHABLE = re.compile(
    r"NewConnectionError|Name or service not known|name resolution|Network is unreachable", re.I
)


def run(command: list[str], environment: dict[str, str], cwd: Path = ROOT) -> str:
    """-> stdout; a skip where the network is away; a failure that shows the command and what it said."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip("needs the network: pip reaches no package index")
    assert done.returncode == 0, (
        f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def resolved(requirement: str, environment: dict[str, str]) -> set[str]:
    """The packages that pip would install for `requirement` in an empty environment."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--quiet",
        "--no-build-isolation",
    ]
    report = json.loads(run([*pip, "--report", "-", requirement], environment))
    return {canonical(package["metadata"]["name"]) for package in report["install"]}


@pytest.mark.network
@pytest.mark.slow
def test_the_base_and_a_device_pull_no_tensorflow(users_environment: dict[str, str]) -> None:
    base = resolved(str(ROOT), users_environment)
    assert {"edgebig", "numpy", "pillow", "typer", "pydantic", "rich"} <= base
    assert not base & (TENSORFLOW | {"ai-edge-litert", "tflite-runtime"})
    device = resolved(f"{ROOT}[device]", users_environment)
    assert "ai-edge-litert" in device
    assert not device & TENSORFLOW


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, users_environment: dict[str, str]) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        users_environment,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_the_data_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, pattern in {"recipes": "*.toml", "devices": "*.toml", "edgebig/zoo": "*"}.items():
        for path in (ROOT / folder).glob(pattern):
            if path.is_file():
                assert f"edgebig/{folder.removeprefix('edgebig/')}/{path.name}" in names
    assert "edgebig/zoo/digits-5k.npz" in names
    metadata = f"edgebig-{edgebig.__version__}.dist-info"
    assert {f"{metadata}/licenses/LICENSE", f"{metadata}/licenses/NOTICE"} <= names
    outside = {name for name in names if not name.startswith(("edgebig/", metadata))}
    assert not outside
    assert not {name for name in names if name.endswith((".pyc", ".log")) or "__pycache__" in name}
    assert wheel.stat().st_size < 3_000_000


@pytest.mark.network
@pytest.mark.slow
def test_the_wheel_works_in_an_environment_of_its_own(
    wheel: Path, tmp_path: Path, users_environment: dict[str, str]
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    bin_folder = tmp_path / "venv" / "bin"
    environment = {name: value for name, value in users_environment.items() if name != "PYTHONPATH"}
    run([str(bin_folder / "python"), "-m", "pip", "install", "--quiet", str(wheel)], environment, tmp_path)
    run([str(bin_folder / "python"), "-m", "pip", "check"], environment, tmp_path)
    version = run([str(bin_folder / "edgebig"), "--version"], environment, tmp_path)
    assert edgebig.__version__ in version
    assert "digits-quick" in run([str(bin_folder / "edgebig"), "recipes"], environment, tmp_path)


def pins(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Of a lock: "numpy ; marker" -> its version and its hashes."""
    text = (ROOT / "tools" / "locks" / f"{name}.txt").read_text("utf-8")
    found = {}
    for block in re.split(r"\n(?=[a-zA-Z])", re.sub(r"^\s*#.*\n", "", text, flags=re.M)):
        match = re.match(r"([\w.-]+)==(\S+)(?: ; (.+?))? \\\n", block)
        assert match, f"{name}.txt: not a pin with hashes: {block[:80]}"
        package, version, marker = match.groups()
        hashes = frozenset(re.findall(r"--hash=sha256:[0-9a-f]{64}", block))
        assert hashes, f"{name}.txt: {package} has no hash"
        found[f"{canonical(package)} ; {marker or ''}"] = (version, hashes)
    return found


def test_the_dev_lock_holds_the_train_lock() -> None:
    train = pins("train")
    # Where a tool of dev wants a package on more platforms, its marker is wider, and the pin is the same.
    dev = {(key.partition(" ")[0], pin) for key, pin in pins("dev").items()}
    assert {(key.partition(" ")[0], pin) for key, pin in train.items()} <= dev
    names = {key.partition(" ")[0] for key in train}
    assert {"tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert", "hatchling"} <= names


@pytest.mark.parametrize("name", ["train", "dev"])
def test_locks_name_no_address(name: str) -> None:
    assert "://" not in (ROOT / "tools" / "locks" / f"{name}.txt").read_text("utf-8")


@pytest.fixture
def bare_checkout(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A checkout without .venv, and an environment whose PATH has what tools/setup needs, and no Python."""
    checkout = tmp_path / "a checkout"  # with a space
    for name in (
        "tools/setup",
        "tools/locks/train.txt",
        "tools/locks/dev.txt",
        "pyproject.toml",
        "edgebig/__init__.py",
    ):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    path = tmp_path / "path"
    path.mkdir()
    for tool in ("bash", "cat", "cmp", "cut", "date", "dirname", "id", "uname", "apt-get"):
        if (found := shutil.which(tool)) is not None:
            (path / tool).symlink_to(found)
    return checkout, {"PATH": str(path), "HOME": str(tmp_path)}


def fake(environment: dict[str, str], name: str, script: str) -> None:
    path = Path(environment["PATH"]) / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!{shutil.which('bash')}\n{script}\n", "utf-8")
    path.chmod(0o755)


def setup_says(checkout: Path, environment: dict[str, str]) -> str:
    command = [str(checkout / "tools" / "setup"), "train"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert not (checkout / ".venv").exists()
    return done.stderr


def test_setup_without_python_names_the_command(bare_checkout: tuple[Path, dict[str, str]]) -> None:
    checkout, environment = bare_checkout
    fake(environment, "apt-get", "exit 99")
    assert "apt-get install -y python3 python3-venv" in setup_says(checkout, environment)


@pytest.mark.parametrize("version", ["3.9", "3.14"])
def test_setup_names_a_python_that_is_too_old_or_too_new(
    bare_checkout: tuple[Path, dict[str, str]], version: str
) -> None:
    checkout, environment = bare_checkout
    fake(environment, "python3", f"echo {version} has")
    said = setup_says(checkout, environment)
    assert f"python3 is {version}" in said
    assert "3.10 to 3.13" in said


def test_setup_passes_over_a_shim_that_does_not_run(bare_checkout: tuple[Path, dict[str, str]]) -> None:
    checkout, environment = bare_checkout
    fake(environment, "apt-get", "exit 99")
    fake(environment, "python3.11", "echo 'pyenv: python3.11: command not found' >&2; exit 127")
    fake(environment, "python3.12", "echo 3.12 lacks")
    said = setup_says(checkout, environment)
    assert "python3.12 has no venv" in said
    assert "apt-get install -y python3 python3.12-venv" in said


def test_setup_refuses_native_windows(bare_checkout: tuple[Path, dict[str, str]]) -> None:
    checkout, environment = bare_checkout
    fake(environment, "uname", "echo MINGW64_NT-10.0-19045")
    said = setup_says(checkout, environment)
    assert "native Windows is not supported" in said
    assert "WSL" in said


def test_setup_refuses_a_python_that_was_asked_for_and_is_none(
    bare_checkout: tuple[Path, dict[str, str]],
) -> None:
    checkout, environment = bare_checkout
    said = setup_says(checkout, environment | {"EDGEBIG_PYTHON": "/nowhere/python"})
    assert "EDGEBIG_PYTHON=/nowhere/python" in said


@pytest.fixture
def ready_checkout(bare_checkout: tuple[Path, dict[str, str]]) -> tuple[Path, dict[str, str]]:
    """As tools/setup leaves it, less the packages. There is no Python on PATH: whatever is stale makes it fail."""
    checkout, environment = bare_checkout
    fake(environment, "apt-get", "exit 99")
    venv.create(checkout / ".venv", symlinks=True)
    (checkout / ".venv" / "edgebig-made").touch()
    script = checkout / ".venv" / "bin" / "edgebig"
    script.touch()
    script.chmod(0o755)
    lock = (checkout / "tools/locks/train.txt").read_text("utf-8")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stamp = f"root {checkout.resolve()}\npython {python}\n{lock}"
    (checkout / ".venv" / "edgebig-ready-train").write_text(stamp, "utf-8")
    sources = [(checkout / name).read_text("utf-8") for name in ("pyproject.toml", "edgebig/__init__.py")]
    (checkout / ".venv" / "edgebig-ready-project").write_text("".join(sources), "utf-8")
    return checkout, environment


def setup_is_ready(checkout: Path, environment: dict[str, str]) -> bool:
    command = [str(checkout / "tools" / "setup"), "train"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or "there is no Python here" in done.stderr, done.stderr
    return done.returncode == 0


def test_setup_reuses_what_is_there(ready_checkout: tuple[Path, dict[str, str]]) -> None:
    assert setup_is_ready(*ready_checkout)


@pytest.mark.parametrize("name", ["tools/locks/train.txt", "pyproject.toml", "edgebig/__init__.py"])
def test_setup_sees_what_changed(ready_checkout: tuple[Path, dict[str, str]], name: str) -> None:
    checkout, environment = ready_checkout
    with (checkout / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert not setup_is_ready(checkout, environment)


@pytest.mark.parametrize(
    "name", ["edgebig-ready-train", "edgebig-ready-project", "bin/edgebig", "bin/python"]
)
def test_setup_sees_what_is_missing(ready_checkout: tuple[Path, dict[str, str]], name: str) -> None:
    checkout, environment = ready_checkout
    (checkout / ".venv" / name).unlink()
    assert not setup_is_ready(checkout, environment)


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_setup_sees_a_checkout_that_was_moved(ready_checkout: tuple[Path, dict[str, str]], how: str) -> None:
    checkout, environment = ready_checkout
    elsewhere = checkout.with_name("elsewhere")
    if how == "moved":
        checkout.rename(elsewhere)
    else:
        shutil.copytree(checkout, elsewhere, symlinks=True)
    assert not setup_is_ready(elsewhere, environment)


def test_the_commands_are_executable() -> None:
    assert [
        name
        for name in ("tools/setup", "tools/demo", "tools/test", ".ci/run")
        if not os.access(ROOT / name, os.X_OK)
    ] == []
