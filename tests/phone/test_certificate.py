"""The certificate: for this machine's names and no other, a week, its key its owner's alone."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from edgebig.phone import certificate

x509 = pytest.importorskip("cryptography.x509", reason="needs cryptography")
NAMES = ["192.0.2.7", "laptop"]


def parsed(made: certificate.Certificate) -> Any:
    return x509.load_pem_x509_certificate(made.certificate.read_bytes())


def test_what_it_says(tmp_path: Path) -> None:
    made = certificate.ready(tmp_path / "phone", NAMES)
    found = parsed(made)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.0.2.7")]
    assert names.get_values_for_type(x509.DNSName) == ["laptop"]
    life = found.not_valid_after_utc - found.not_valid_before_utc
    assert dt.timedelta(days=7) <= life <= dt.timedelta(days=7, hours=2)
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    digest = ssl.PEM_cert_to_DER_cert(made.certificate.read_text())
    assert made.fingerprint.replace(":", "").lower() == hashlib.sha256(digest).hexdigest()


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        made = certificate.ready(tmp_path / "phone", NAMES)
    finally:
        os.umask(old)
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert made.key.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in made.key.parent.iterdir()) == ["certificate.pem", "key.pem"]


def test_it_is_kept_while_it_lasts(tmp_path: Path) -> None:
    first = certificate.ready(tmp_path, NAMES)
    assert certificate.ready(tmp_path, NAMES) == first


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: made.key.chmod(0o644),
        lambda made: made.key.write_text("no key"),
        lambda made: made.certificate.unlink(),
        lambda made: made.certificate.write_bytes(made.certificate.read_bytes()[:200]),
    ],
    ids=["readable by others", "no key", "gone", "cut off"],
)
def test_one_that_is_spoilt_is_made_anew(tmp_path: Path, spoil: Any) -> None:
    first = certificate.ready(tmp_path, NAMES)
    spoil(first)
    again = certificate.ready(tmp_path, NAMES)
    assert again.fingerprint != first.fingerprint
    assert again.key.stat().st_mode & 0o077 == 0


def test_one_of_another_address_is_made_anew(tmp_path: Path) -> None:
    first = certificate.ready(tmp_path, NAMES)
    assert certificate.ready(tmp_path, ["192.0.2.8", "laptop"]).fingerprint != first.fingerprint


def test_one_that_ends_within_a_day_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "_LEAST_LEFT", dt.timedelta(days=6, hours=23))
    first = certificate.ready(tmp_path, NAMES)
    monkeypatch.setattr(certificate, "_LEAST_LEFT", dt.timedelta(days=7, hours=1))
    with pytest.raises(AssertionError):  # one that can never last is no endless loop
        certificate.ready(tmp_path, NAMES)
    monkeypatch.undo()
    assert certificate.ready(tmp_path, NAMES).fingerprint != first.fingerprint


def test_a_key_goes_with_its_certificate(tmp_path: Path) -> None:
    one, other = certificate.ready(tmp_path / "one", NAMES), certificate.ready(tmp_path / "other", NAMES)
    one.key.write_bytes(other.key.read_bytes())
    again = certificate.ready(tmp_path / "one", NAMES)
    assert again.fingerprint not in (one.fingerprint, other.fingerprint)
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(again.certificate, again.key)
