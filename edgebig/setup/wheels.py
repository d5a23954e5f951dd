"""The wheels of a plan: fetched by pip for the board's platform, held to the lock's hashes, kept for the next board."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import tempfile
from pathlib import Path

from edgebig import environment, files, lookup
from edgebig.errors import EdgebigError
from edgebig.progress import say
from edgebig.setup.choice import Plan

_LOCKS = Path(__file__).parent / "locks"
_FETCH_LIMIT_S = 1800.0
# What would lead pip elsewhere; it takes an empty one for none.
_CLEAN = dict.fromkeys(
    ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_NO_BINARY", "PIP_USER"), ""
)


def pins(plan: Plan) -> dict[str, str]:
    """The pinned versions of a plan's packages, by their names."""
    return {name: re.findall(rf"(?m)^{name}==(\S+)", _lock(plan))[0] for name in plan.packages}


def requirements(plan: Plan) -> str:
    """The lock's lines of a plan's packages, with their hashes."""
    blocks = re.findall(r"(?m)^[a-z0-9-]+==.*\n(?:    --hash=.*\n)+", _lock(plan))
    return "".join(block for block in blocks if block.partition("==")[0] in plan.packages)


def fetch(plan: Plan) -> list[Path]:
    """The wheels, from this user's cache where they were fetched before. Raises EdgebigError where pip fails."""
    wanted = requirements(plan)
    digest = files.sha256_bytes("\n".join([wanted, plan.python, *plan.platforms]).encode())
    folder = lookup.cache_dir() / "wheels" / digest[:16]
    found = _whole(folder, wanted, len(plan.packages))
    return found or _whole(_download(plan, wanted, folder), wanted, len(plan.packages))


def _lock(plan: Plan) -> str:
    return (_LOCKS / f"{plan.runtime}.txt").read_text(encoding="utf-8")


def _whole(folder: Path, wanted: str, count: int) -> list[Path]:
    """The wheels in `folder`; none where one is missing or is not what the lock says."""
    wheels = sorted(folder.glob("*.whl"))
    whole = len(wheels) == count and all(files.sha256_file(wheel) in wanted for wheel in wheels)
    return wheels if whole else []


def _download(plan: Plan, wanted: str, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise EdgebigError(
            f"{sys.executable} has no pip, which fetches the wheels", f"{sys.executable} -m ensurepip"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
        lock, fetched = Path(scratch) / "lock.txt", Path(scratch) / "wheels"
        lock.write_text(wanted, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        ]
        command += ["--no-input", "--disable-pip-version-check", "--python-version", plan.python]
        command += ["--dest", str(fetched), "--requirement", str(lock)]
        for platform in plan.platforms:
            command += ["--platform", platform]
        what = f"fetching the wheels of {plan.runtime}"
        say(f"{what}: {', '.join(f'{name} {version}' for name, version in pins(plan).items())}")
        environment.call(command, what, deadline_s=_FETCH_LIMIT_S, environ=_CLEAN)
        # What is there is damaged, or was put there by another process meanwhile, which is as good.
        shutil.rmtree(folder, ignore_errors=True)
        fetched.rename(folder)
    return folder
