"""What a phone's page takes: the extra's packages, and LiteRT.js in the cache or a way to get it."""

from __future__ import annotations

import shutil

from edgebig.doctor.proof import TOOL_LIMIT_S, Check, run_python
from edgebig.lookup import cache_dir
from edgebig.phone import runtime

PHONE_EXTRA = 'pip install "edgebig[phone]"'

_PAGE_CHILD = """
names = ("starlette", "uvicorn", "segno", "cryptography")
import importlib.util
absent = [name for name in names if importlib.util.find_spec(name) is None]
tell(absent=absent)
if absent:
    sys.exit()
import starlette.applications, uvicorn, segno
from cryptography.hazmat.primitives.asymmetric import ec
ec.generate_private_key(ec.SECP256R1())
segno.make("edgebig")
tell(detail=", ".join(f"{name} {version(name)}" for name in names))
"""


def page() -> list[Check]:
    return [_packages(), _runtime()]


def _packages() -> Check:
    outcome = run_python(_PAGE_CHILD, TOOL_LIMIT_S)
    facts = outcome.facts()
    absent = facts.get("absent", [])
    if absent:
        detail = f"not installed ({', '.join(absent)}): any phone as a device, by its browser"
        return Check("phone page", "optional", detail, PHONE_EXTRA)
    if outcome.code != 0:
        return Check("phone page", "broken", outcome.fault(), f"{PHONE_EXTRA} --force-reinstall")
    return Check("phone page", "ok", facts["detail"])


def _runtime() -> Check:
    if runtime.is_kept(cache_dir()):
        kept = f"{runtime.VERSION} is in the cache, whole: phones need no network beyond this"
        return Check("LiteRT.js", "ok", kept)
    how = (
        "npm will bring it at the first 'edgebig phone'"
        if shutil.which("npm")
        else "there is no npm: a public CDN will be asked at the first use"
    )
    return Check("LiteRT.js", "optional", f"{runtime.VERSION} is not in the cache yet; {how}")
