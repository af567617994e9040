"""Which network addresses a webhook may reach: the guard against server-side request forgery."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Azure's metadata and DNS service stands on a public address; all other clouds' are link-local, unique local or shared
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})


def refused(address: Address) -> str | None:
    """Why a webhook must not reach `address`, or None where it may.

    >>> refused(ipaddress.ip_address("169.254.169.254")), refused(ipaddress.ip_address("93.184.215.14"))
    ('a link-local address', None)
    >>> refused(ipaddress.ip_address("::ffff:10.0.0.1"))
    'a private address'
    """
    inner = embedded(address)
    if inner is not None:
        return refused(inner)
    if address.is_loopback or address.is_unspecified:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    if address in _METADATA:
        return "a cloud metadata address"
    if address.is_multicast:
        return "a multicast address"
    return None if address.is_global else "a private address"


def refused_literal(host: str) -> str | None:
    """Why `host` must not be reached, as far as the text alone shows; names are judged again once they are resolved.

    >>> refused_literal("localhost"), refused_literal("[::1]"), refused_literal("example.com")
    ('a loopback address', 'a loopback address', None)
    """
    if host.rstrip(".").lower() == "localhost":
        return "a loopback address"
    try:
        return refused(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None


def embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to (mapped, 6to4, Teredo, NAT64), or None.

    >>> embedded(ipaddress.ip_address("64:ff9b::7f00:1"))
    IPv4Address('127.0.0.1')
    """
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (None if teredo is None else teredo[1])
