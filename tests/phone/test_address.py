"""Under which addresses a phone finds this machine."""

from __future__ import annotations

import pytest

from edgebig.errors import EdgebigError
from edgebig.phone import address


@pytest.mark.network
def test_the_address_of_the_network_is_one_of_ours() -> None:
    found = address.of_lan()
    assert address.checked(found) == found
    assert not found.startswith("127.")


def test_loopback_is_ours() -> None:
    assert address.checked("127.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize("wrong", ["198.51.100.1", "2001:db8::1", "no such host", "", "127.0.0.1; rm", "a/b"])
def test_an_address_that_is_not_ours_is_refused(wrong: str) -> None:
    with pytest.raises(EdgebigError, match="--address"):
        address.checked(wrong)


def test_an_address_of_version_6_stands_in_brackets() -> None:
    assert address.in_url("fe80::1") == "[fe80::1]"
    assert address.in_url("192.0.2.1") == "192.0.2.1"
