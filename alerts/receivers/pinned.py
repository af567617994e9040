"""A POST that reaches only addresses which were checked: the name is resolved once, judged, and the connection pinned to it."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from alerts.receivers.address import Address, refused
from alerts.receivers.protocol import TransportError

Resolve = Callable[[str, int], Awaitable[list[Address]]]
_MOST_ADDRESSES = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """The status and Retry-After of a response; its body is not read, so an endless one costs nothing."""

    status: int
    retry_after: str | None


class PinnedClient:
    """Posts to one address at a time within `timeout_s`, following no redirect and no proxy setting of the environment."""

    def __init__(self, *, timeout_s: float, allow_private: bool, resolve: Resolve | None = None) -> None:
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._resolve = resolve or resolve_host
        # the bare transport: no proxy (it would resolve the name itself, past the check), no redirects, and no log line with the
        # address, which httpx's client writes and in which chat services carry their token
        self._transport = httpx.AsyncHTTPTransport()

    async def post(self, url: httpx.URL, body: bytes, headers: dict[str, str]) -> Answer:
        """The receiver's answer; TransportError where no permitted address of the host gives one."""
        try:
            async with asyncio.timeout(self._timeout_s):  # for the whole exchange: a byte a second must not hold it open
                return await self._post(url, body, headers)
        except TimeoutError as error:
            raise TransportError(f"no answer within {self._timeout_s:g} s") from error
        except httpx.TimeoutException as error:
            raise TransportError(f"no answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransportError(f"no connection ({type(error).__name__}); check the address and that it is up") from error

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()

    async def _post(self, url: httpx.URL, body: bytes, headers: dict[str, str]) -> Answer:
        addresses = await self._permitted(url)
        for address in addresses[:-1]:
            try:
                return await self._post_to(address, url, body, headers)
            except httpx.ConnectError:
                continue  # nothing was sent yet: the host's next address may answer
        return await self._post_to(addresses[-1], url, body, headers)

    async def _permitted(self, url: httpx.URL) -> list[Address]:
        addresses = await self._resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
        if not addresses:
            raise TransportError("the host has no address; check its name")
        if not self._allow_private:
            # one bad address condemns the name: a mixed answer is what a rebinding attack looks like
            reason = next((why for why in map(refused, addresses) if why is not None), None)
            if reason is not None:
                raise TransportError(f"refused: the host has {reason}; set `allow_private: true` if that is meant")
        return addresses[:_MOST_ADDRESSES]

    async def _post_to(self, address: Address, url: httpx.URL, body: bytes, headers: dict[str, str]) -> Answer:
        pinned = url.copy_with(host=str(address))
        named = {**headers, "host": url.netloc.decode("ascii")}
        extensions = {
            "timeout": httpx.Timeout(self._timeout_s).as_dict(),
            "sni_hostname": url.raw_host.decode("ascii").strip("[]"),  # the certificate must be the name's, not the address's
        }
        request = httpx.Request("POST", pinned, content=body, headers=named, extensions=extensions)
        response = await self._transport.handle_async_request(request)
        await response.aclose()
        return Answer(response.status_code, response.headers.get("retry-after"))


async def resolve_host(host: str, port: int) -> list[Address]:
    """The host's addresses in the resolver's order, each once; TransportError where the name is unknown."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TransportError("the host name cannot be resolved; check it") from error
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found))
