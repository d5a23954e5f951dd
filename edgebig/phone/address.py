"""Under which addresses a phone in the same network finds this machine."""

from __future__ import annotations

import ipaddress
import re
import socket

from edgebig.errors import EdgebigError

# Addresses of documentation (RFC 5737, RFC 3849): a route to them tells which of ours would be the sender's.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def of_lan() -> str:
    """The address that this machine sends from. Nothing is sent: a datagram socket is only told of a peer.

    Raises EdgebigError where there is no network.
    """
    for family, peer in _ELSEWHERE:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((peer, 9))
            except OSError:
                continue
            address = str(probe.getsockname()[0])
        if not ipaddress.ip_address(address).is_link_local:
            return address
    raise EdgebigError(
        "this machine is in no network that a phone could share",
        "join a Wi-Fi, or name an address of this machine: --address; with a cable: --usb",
    )


def checked(address: str) -> str:
    """An address or host name as a user gave it. Raises EdgebigError where it is not this machine's."""
    if not re.fullmatch(r"[0-9A-Za-z.:%-]+", address):
        raise EdgebigError(f"--address {address!r}: no host name", "give an address of this machine")
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise EdgebigError(f"--address {address}: {error}", "give an address of this machine") from error
    for one in found:
        family = socket.AF_INET6 if ":" in str(one) else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((one, 0))
            except OSError as error:
                raise EdgebigError(
                    f"--address {address}: not an address of this machine ({error.strerror})",
                    "'ip address' lists them",
                ) from error
    return address


def in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
