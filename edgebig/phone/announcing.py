"""What a person is told who is to open the page: the address, as a code too, and why the browser warns."""

from __future__ import annotations

from edgebig.phone import qr
from edgebig.phone.certificate import Certificate
from edgebig.phone.serving import Served


def text(served: Served, certificate: Certificate | None, *, colour: bool) -> str:
    """`colour`: for a terminal that shows colours."""
    lines = [
        "open this on the phone, which must be in the same network:",
        "",
        qr.text(served.url, colour=colour),
        served.url,
        "",
    ]
    if certificate is not None:
        lines += [
            "This machine alone signed its certificate, so the browser warns: go on (Advanced > Proceed; in Safari",
            "Show Details > visit this website) where it shows this SHA-256 fingerprint, and install nothing:",
            *(f"  {certificate.fingerprint[start : start + 48]}" for start in (0, 48)),
        ]
    else:
        lines.append("Plain http: the browser gives no camera, no threads, and a clock that steps by 100 us.")
    return "\n".join([*lines, f"every phone's row: {served.dashboard}"])
