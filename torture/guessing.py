"""Requests that are guessed: by schemathesis from the OpenAPI document, and forms by hypothesis."""

import asyncio
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx2
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from torture.sockets import Statuses

KEY = "the-key-of-whoever-guesses"
"""Of an admin: among what is guessed is a new key, and from then on the service asks for one."""

_EXAMPLES = 25
_FORMS = 400
_NAMES = [
    *("image", "images", "file", "image_url", "file_id", "prompt", "system", "model", "max_tokens", "detail", "labels"),
    *("stop_sequences", "thinking", "effort", "messages", "max_image_tokens", "max_cost_usd", "stream", "extra"),
    *("schema", "target", "pages", "tiles", "compare", "exact"),
]
_VALUES = [
    "",
    "true",
    "-1",
    "0",
    "1e400",
    "NaN",
    "null",
    "[]",
    "{}",
    "[[]]",
    "\0",
    "high",
    "claude-haiku-4-5",
    "ä" * 999,
]


async def schemas(url: str) -> Statuses:
    """What the OpenAPI document allows and what it does not, sent to every operation."""
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{url}/openapi.json"]
    command += ["--header", f"x-api-key: {KEY}"]
    limits = ["--checks", "not_a_server_error", "--max-examples", str(_EXAMPLES), "--generation-deterministic"]
    run = await asyncio.to_thread(
        subprocess.run, [*command, *limits, "--no-color"], capture_output=True, text=True, check=False
    )
    told = run.stdout + run.stderr
    if run.returncode:
        print(told[-4000:])
    cases = re.search(r"(\d+) (?:generated|passed)", told)
    return Counter({"no server error" if run.returncode == 0 else "500": int(cases[1]) if cases else 1})


async def forms_of_chance(url: str) -> Statuses:
    """Forms of any fields with any values."""
    statuses: Statuses = Counter()

    def run() -> None:
        with httpx2.Client(base_url=url, timeout=60) as client:

            @settings(
                max_examples=_FORMS,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
            )
            @given(
                st.sampled_from(["/v1/analyze", "/v1/estimate", "/v1/normalize", "/v1/extract", "/v1/locate"]),
                st.lists(
                    st.tuples(st.sampled_from(_NAMES) | st.text(max_size=20), st.sampled_from(_VALUES) | st.text()),
                    max_size=8,
                ),
                st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=200)), max_size=3),
            )
            def send(path: str, fields: list[tuple[str, str]], files: list[tuple[str, bytes]]) -> None:
                parts = [_part(name, None, value.encode("utf-8", "surrogatepass")) for name, value in fields]
                parts += [_part("image", name, data) for name, data in files]
                content = b"".join(parts) + b"--b--\r\n"
                headers = {"content-type": "multipart/form-data; boundary=b"}
                statuses[str(client.post(path, content=content, headers=headers).status_code)] += 1

            send()

    await asyncio.to_thread(run)
    return statuses


def _part(name: str, filename: str | None, data: bytes) -> bytes:
    disposition = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
    head = f"--b\r\ncontent-disposition: {disposition}\r\n\r\n"
    return head.encode("utf-8", "surrogatepass") + data + b"\r\n"
