"""What a download may ask for and how much it may take, as two values."""

from dataclasses import dataclass

from app.fetch.addresses import Address, is_public


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one download may take. `timeout_s` is for all of it: names, connections, redirects and the body.

    `connect_timeout_s` is for each address of a host that has several. `max_connections` are open at a time in a
    process; a download that waits for one does so on its own time.
    """

    max_bytes: int = 33_554_432
    timeout_s: float = 10.0
    connect_timeout_s: float = 3.0
    max_redirects: int = 5
    max_url_chars: int = 8_192
    max_connections: int = 32


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What may be asked. The defaults are the service's; `more_addresses` lets a test reach its own server."""

    schemes: frozenset[str] = frozenset({"https"})
    ports: frozenset[int] = frozenset({443})
    more_addresses: frozenset[Address] = frozenset()

    def allows(self, address: Address) -> bool:
        """Whether a connection to the address may be made."""
        return is_public(address) or address in self.more_addresses
