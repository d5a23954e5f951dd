"""A certificate for the addresses of this machine, signed by itself alone: good for a week, and for no other name.

It makes a browser's connection private and its page a secure context once its owner clicked through; it is no
authority, and nobody is asked to install one.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgebig import files

if TYPE_CHECKING:
    from cryptography import x509

_DAYS = 7
# A bench that begins with it must not outlive it.
_LEAST_LEFT = dt.timedelta(days=1)
# Clocks of phones are minutes off.
_BEFORE = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Certificate:
    """`certificate` and `key`: PEM files; `fingerprint`: the SHA-256 as browsers show it."""

    certificate: Path
    key: Path
    fingerprint: str


def ready(folder: Path, names: Sequence[str]) -> Certificate:
    """The certificate in `folder` for these host names and addresses; made anew where it is of others, or ends soon.

    Raises OSError where the folder cannot be written.
    """
    pem, key = folder / "certificate.pem", folder / "key.pem"
    kept = _load(pem, key, names)
    if kept is None:
        _make(pem, key, names)
        kept = _load(pem, key, names)
        assert kept is not None
    return kept


def _load(pem: Path, key: Path, names: Sequence[str]) -> Certificate | None:
    """None where there is none that holds for exactly `names`, goes with its key, and lasts."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = x509.load_pem_x509_certificate(pem.read_bytes())
        private = load_pem_private_key(key.read_bytes(), None)
        held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return None
    now = dt.datetime.now(dt.timezone.utc)
    lasts = found.not_valid_before_utc <= now and found.not_valid_after_utc - now > _LEAST_LEFT
    is_private = key.stat().st_mode & 0o077 == 0 and key.stat().st_uid == os.getuid()
    if not (
        lasts
        and is_private
        and private.public_key() == found.public_key()
        and list(held) == list(_alternatives(names))
    ):
        return None
    digest = found.fingerprint(hashes.SHA256()).hex(":").upper()
    return Certificate(pem, key, digest)


def _make(pem: Path, key: Path, names: Sequence[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgebig, signed by itself")])
    now = dt.datetime.now(dt.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(_alternatives(names), critical=False)
        # Whoever installs it after all has not installed an authority.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_bytes(key, secret, 0o600)
    files.write_bytes(pem, made.public_bytes(serialization.Encoding.PEM))


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    from cryptography import x509

    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
