"""One attack, again and again for some seconds, in a process of its own and nicer than the service.

Whoever attacks from outside has processors of his own; here he shares those of the service, so he waits for it.

    python -m torture.attacking NAME URL SECONDS      # one line of JSON
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

from torture import bodies, guessing, sockets, upstream
from torture.sockets import Statuses

Attack = Callable[[str], Awaitable[Statuses]]

SCHEMAS, UPSTREAM = "schemas", "upstream"

ATTACKS: dict[str, Attack] = {
    "slow-uploads": sockets.slow_uploads,
    "one-byte-chunks": sockets.one_byte_chunks,
    "lying-lengths": sockets.lying_lengths,
    "gigantic-headers": sockets.gigantic_headers,
    "leavers": sockets.leavers,
    "forms": bodies.forms,
    "nested-json": bodies.nested_json,
    "exploding-files": bodies.exploding_files,
    "broken-files": bodies.broken_files,
    "forms-of-chance": guessing.forms_of_chance,
    SCHEMAS: guessing.schemas,
    UPSTREAM: upstream.asked_of_it,
}

NICENESS = 15
LEAST_S = 8.0
"""So that a p99 is one of hundreds of probes, not the one worst answer."""


@dataclass(frozen=True, slots=True)
class Attacked:
    """How often each answer came, in how many rounds and seconds, and the processor time of the attacker."""

    statuses: dict[str, int]
    rounds: int
    taken_s: float
    cpu_s: float


async def attacked(name: str, url: str, least_s: float = LEAST_S) -> Attacked:
    """What came of that attack, in a process that is gone by then.

    Raises:
        RuntimeError: the attacker itself failed.
    """
    command = [sys.executable, "-m", "torture.attacking", name, url, str(least_s)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the attacker {name} ended with {process.returncode}")
    return Attacked(**json.loads(told.splitlines()[-1]))


async def _again_and_again(attack: Attack, url: str, least_s: float) -> Attacked:
    statuses: Statuses = Counter()
    began, before_s, rounds = time.monotonic(), _cpu_s(), 0
    while not rounds or time.monotonic() - began < least_s:
        statuses += await attack(url)
        rounds += 1
    return Attacked(dict(statuses), rounds, time.monotonic() - began, _cpu_s() - before_s)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main(arguments: Sequence[str]) -> None:
    """Attack, then say what came of it."""
    name, url, least_s = arguments
    os.nice(NICENESS)
    print(json.dumps(asdict(asyncio.run(_again_and_again(ATTACKS[name], url, float(least_s))))))


if __name__ == "__main__":
    main(sys.argv[1:])
