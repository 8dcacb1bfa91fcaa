"""Names of servers, each looked up once for all devices."""

import asyncio
import socket

from ota.errors import TransportError


class Names:
    """Looks names up by the system; the name server is not what is tested here."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], asyncio.Task] = {}

    async def find(self, host: str, port: int) -> list[str]:
        """Addresses of a host. Raises TransportError "dns" as the device's own client does; a
        failure is not kept."""
        key = host, port
        if key not in self._found:
            self._found[key] = asyncio.ensure_future(_look_up(host, port))
        try:
            return await asyncio.shield(self._found[key])
        except OSError as e:
            self._found.pop(key, None)
            unknown = isinstance(e, socket.gaierror) and e.errno == socket.EAI_NONAME
            raise TransportError("dns", *(("name",) if unknown else ()), e) from e


async def _look_up(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
