"""Every setting of the service, with its unit and its default: the only reader of the environment.

Variables begin with `VISION_PROXY_`, but those of the Anthropic SDK keep the names the SDK gives them. Each has a twin
ending in `_FILE` that names a file, such as a mounted secret, to read the value from.
"""

import ipaddress
import os
import re
from math import ceil
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app import machine
from app.database.address import SqliteAddress, read_address
from app.observe.logs import LogFormat
from app.observe.tracing import TraceMode

PREFIX = "VISION_PROXY_"

_BODY_MEMORY_BYTES_A_CORE = 24_000_000
_LEAST_BODY_MEMORY_BYTES = 48_000_000
"""Enough to keep two cores at work on 12-megapixel photographs (measured, `docs/operations.md`)."""


class SettingsError(Exception):
    """A setting that cannot be used; the message names the variable and what it takes."""


class Settings(BaseSettings):
    """The configuration of one process. Descriptions are the text of `docs/configuration.md`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, populate_by_name=True, extra="forbid", env_ignore_empty=True
    )

    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    workers: Annotated[int, Field(ge=1, le=64, description="Server processes.")] = 1
    admin_key: Annotated[
        SecretStr | None,
        Field(
            description="A key that is always an admin's, set from outside. Unset: keys are in the database; until "
            "the first is created, a loopback address is open, and elsewhere the first start makes one and prints it "
            "once.",
        ),
    ] = None
    key_secret: Annotated[
        SecretStr | None,
        Field(
            description="What keys are hashed with (HMAC-SHA-256). Unset: made once and kept in the database. Whoever "
            "changes it makes every key of the database useless.",
        ),
    ] = None
    cors_origins: Annotated[
        str | None,
        Field(
            description="Web pages that may call from a browser: origins such as `https://app.example`, comma "
            "separated, or `*`. They still need a key or a token."
        ),
    ] = None
    default_model: Annotated[str, Field(min_length=1, description="Model of a request that names none.")] = (
        "claude-sonnet-5-5"
    )
    default_max_tokens: Annotated[
        int, Field(ge=1, description="`max_tokens` of a request that names none; thinking counts against it.")
    ] = 8192
    drain_timeout_s: Annotated[
        int, Field(ge=0, description="How long requests in progress may go on once the service is told to stop.")
    ] = 30
    drain_delay_s: Annotated[
        float,
        Field(
            ge=0,
            description="How long new requests are still served once the service is told to stop and `/readyz` says "
            "so; as long as a load balancer takes to notice. Then they get 503 `draining`.",
        ),
    ] = 0.0
    database_url: Annotated[
        str,
        Field(
            repr=False,  # it may hold a password
            description="What every process shares: `sqlite:///PATH` (four slashes from the root) for those of one "
            "machine, or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.",
        ),
    ] = "sqlite+aiosqlite:///var/vision-proxy.db"
    url_images: Annotated[
        Literal["off", "fetch", "passthrough"],
        Field(
            description="Pictures by URL: `fetch` downloads and prepares them, `passthrough` lets the vendor fetch "
            "them, `off` refuses them (on `/v1/messages` it passes them through, up to 20 pictures)."
        ),
    ] = "off"
    url_timeout_s: Annotated[
        float, Field(gt=0, description="Whole time for one picture by URL: names, redirects and body.")
    ] = 10.0
    schema_timeout_s: Annotated[
        float,
        Field(gt=0, description="Time for checking the schema of an extraction, and for reading the answer by it."),
    ] = 5.0
    steady: Annotated[
        bool,
        Field(
            description="On `/v1/messages` size every picture as if there were more than 20, so that a growing "
            "conversation never resizes, and pays again for, an earlier one. A request with `cache_control` always is."
        ),
    ] = False
    max_body_bytes: Annotated[
        int, Field(ge=1_000, description="Largest request body, in bytes, counted while it is read.")
    ] = 268_435_456
    body_memory_bytes: Annotated[
        int,
        Field(
            ge=0,
            description="Memory of all bodies being read and prepared at a time in a process, each counted twice; a "
            "larger one is let in alone. 0 is 24 MB for each core, shared by the server processes, 48 MB at the least "
            "and a sixteenth of the machine's memory at the most.",
        ),
    ] = 0
    sending_memory_bytes: Annotated[
        int,
        Field(
            ge=0,
            description="Memory of all requests that wait for the Claude API to begin its answer, in a process; 0 is "
            "an eighth of the machine's, shared by the server processes.",
        ),
    ] = 0
    admission_timeout_s: Annotated[
        float,
        Field(gt=0, description="Longest that a request waits for either memory; then the answer is 429 `busy`."),
    ] = 10.0
    body_grace_s: Annotated[
        float, Field(gt=0, description="A body may take this long, however slow; beyond it, as its length allows.")
    ] = 20.0
    body_least_bytes_per_s: Annotated[
        int, Field(ge=1, description="Least speed of a body after that, on the whole; then the answer is 408.")
    ] = 50_000
    max_image_bytes: Annotated[
        int, Field(ge=1_000, description="Largest uploaded picture, in bytes, counted while it is read.")
    ] = 33_554_432
    max_image_pixels: Annotated[int, Field(ge=1, le=250_000_000, description="Most pixels of a received picture.")] = (
        100_000_000
    )
    max_jpeg_pixels: Annotated[
        int,
        Field(
            ge=1,
            le=250_000_000,
            description="Most pixels of a JPEG of one scan, which can be decoded at a fraction of its size.",
        ),
    ] = 250_000_000
    max_image_side_px: Annotated[int, Field(ge=1, description="Longest side of a received picture.")] = 30_000
    max_image_aspect: Annotated[int, Field(ge=1, description="Longer side divided by the shorter, at most.")] = 200
    max_image_frames: Annotated[int, Field(ge=1, description="Most frames or pages in a file.")] = 5_000
    max_jpeg_scans: Annotated[int, Field(ge=1, description="Most scans in a JPEG; real files have up to 59.")] = 100
    image_workers: Annotated[
        int,
        Field(
            ge=0,
            le=256,
            description="Worker processes that decode pictures, for each server process; 0 is one for each core, "
            "shared by the server processes.",
        ),
    ] = 0
    image_timeout_s: Annotated[
        float, Field(gt=0, description="Longest that one picture may take in a worker; then the worker is killed.")
    ] = 8.0
    image_cpu_s: Annotated[
        int, Field(ge=1, description="Most processor time of one picture, as the kernel counts it.")
    ] = 10
    image_worker_max_bytes: Annotated[
        int, Field(ge=536_870_912, description="Most address space of a worker, as the kernel counts.")
    ] = 2_147_483_648
    max_decode_bytes: Annotated[
        int, Field(ge=1_000_000, description="Most memory that decoding one picture may take, by its codec and pixels.")
    ] = 536_870_912
    image_memory_bytes: Annotated[
        int,
        Field(
            ge=0,
            description="Most memory of all pictures being decoded at a time in a process, by codec and pixels; 0 is "
            "what the workers may need, a quarter of the machine's at the most.",
        ),
    ] = 0
    image_queue_timeout_s: Annotated[
        float, Field(gt=0, description="Longest that a picture waits for a worker; then the answer is 429 `busy`.")
    ] = 10.0
    image_cache_bytes: Annotated[
        int, Field(ge=0, description="Prepared pictures kept in memory: a repeat costs no pixel work. 0 is none.")
    ] = 16_777_216
    upstream_timeout_s: Annotated[
        float, Field(gt=0, description="Whole time for an answer, retries included; of a stream, until it begins.")
    ] = 600.0
    upstream_idle_timeout_s: Annotated[
        float, Field(gt=0, description="Longest silence inside a stream; the vendor pings more often.")
    ] = 120.0
    stream_keep_alive_s: Annotated[
        float, Field(gt=0, description="A comment is sent this often into a stream to the client.")
    ] = 15.0
    upstream_max_retries: Annotated[int, Field(ge=0, le=10, description="Retries after the first attempt.")] = 2
    upstream_max_retry_wait_s: Annotated[
        float, Field(ge=0, description="A `retry-after` above this is handed to the caller instead of waited for.")
    ] = 30.0
    log_format: Annotated[
        LogFormat, Field(description="Lines of the log: `text`, `json`, or `auto`: text at a terminal, else JSON.")
    ] = "auto"
    traces: Annotated[
        TraceMode,
        Field(
            description="`otlp` sends a trace of each request to a collector, as OpenTelemetry's own `OTEL_` variables "
            "say; `off` does not even load it."
        ),
    ] = "off"
    sandbox: Annotated[
        bool,
        Field(description="Mark every answer as the sandbox's. Set by `serve` when it starts its own sandbox."),
    ] = False
    anthropic_api_key: Annotated[
        SecretStr | None,
        Field(
            validation_alias="ANTHROPIC_API_KEY",
            description="The operator's key for the Claude API. Unset: the built-in sandbox answers.",
        ),
    ] = None
    anthropic_auth_token: Annotated[
        SecretStr | None,
        Field(validation_alias="ANTHROPIC_AUTH_TOKEN", description="A bearer token in place of the key."),
    ] = None
    anthropic_base_url: Annotated[
        str | None,
        Field(validation_alias="ANTHROPIC_BASE_URL", description="Where the Claude API is, if not at the vendor's."),
    ] = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments before variables before files; no `.env` is read."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, _FileTwins(settings_cls)

    @field_validator("admin_key", "key_secret")
    @classmethod
    def _as_headers_carry_it(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not re.fullmatch(r"[\x21-\x7e]{16,}", key.get_secret_value()):
            raise ValueError("it must have at least 16 ASCII characters and no spaces")
        return key

    @field_validator("anthropic_api_key", "anthropic_auth_token")
    @classmethod
    def _as_the_vendor_takes_it(cls, key: SecretStr | None) -> SecretStr | None:
        """A key with a line break at its end would fail each request, as if the vendor could not be reached."""
        if key is not None and not re.fullmatch(r"[\x21-\x7e]+", key.get_secret_value()):
            raise ValueError("it must be ASCII characters without a space or a line break")
        return key

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, text: str | None) -> str | None:
        for origin in _listed(text):
            if origin != "*" and not re.fullmatch(r"https?://[a-z0-9.:\[\]-]+", origin):
                raise ValueError("an origin is https://HOST or https://HOST:PORT in small letters, without a path")
        return text

    @field_validator("database_url")
    @classmethod
    def _a_database(cls, url: str) -> str:
        if read_address(url) == SqliteAddress(None) and not url.endswith(":memory:"):
            raise ValueError("it names no file: write sqlite:///PATH, or sqlite:////PATH from the root")
        return url

    @field_validator("anthropic_base_url")
    @classmethod
    def _an_address(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/]", url):
            raise ValueError("it must begin with http:// or https://")
        return url

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if self.anthropic_api_key is not None and self.anthropic_auth_token is not None:
            raise ValueError("set ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN, not both")
        return self

    @property
    def has_upstream(self) -> bool:
        """Whether the operator said how to reach a Claude API."""
        return self.anthropic_api_key is not None or self.anthropic_auth_token is not None

    @property
    def allowed_origins(self) -> list[str]:
        """The origins of web pages that may call from a browser."""
        return _listed(self.cors_origins)

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """Every text of the configuration that must never be seen."""
        named = (self.admin_key, self.key_secret, self.anthropic_api_key, self.anthropic_auth_token)
        password = urlsplit(self.database_url).password
        return (*(None if secret is None else secret.get_secret_value() for secret in named), password)

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def image_worker_count(self) -> int:
        """Pictures prepared at a time, the default resolved."""
        return self.image_workers or ceil(machine.cores() / self.workers)

    @property
    def image_memory_budget_bytes(self) -> int:
        """Memory of all pictures being decoded at a time, the default resolved."""
        needed = self.image_worker_count * self.max_decode_bytes
        return self.image_memory_bytes or min(needed, machine.memory_bytes() // 4 // self.workers)

    @property
    def body_memory_budget_bytes(self) -> int:
        """Memory of all bodies being read and prepared at a time, the default resolved."""
        wanted = max(_LEAST_BODY_MEMORY_BYTES, _BODY_MEMORY_BYTES_A_CORE * machine.cores() // self.workers)
        return self.body_memory_bytes or min(wanted, machine.memory_bytes() // 16 // self.workers)

    @property
    def sending_memory_budget_bytes(self) -> int:
        """Memory of all requests that wait for an answer, the default resolved."""
        return self.sending_memory_bytes or machine.memory_bytes() // 8 // self.workers


def _listed(text: str | None) -> list[str]:
    """The members of a comma separated list."""
    return [member.strip() for member in (text or "").split(",") if member.strip()]


def load_settings() -> Settings:
    """The settings that the environment gives.

    Raises:
        SettingsError: a value that does not fit, or a `VISION_PROXY_` variable that does not exist.
    """
    _refuse_unknown_variables()
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = f"{variable_of(str(first['loc'][0]))}: " if first["loc"] else ""
        message = f"{name}{first['msg'].removeprefix('Value error, ')}; see docs/configuration.md"
        raise SettingsError(message) from None


def variable_of(field_name: str) -> str:
    """The environment variable of a setting."""
    field = Settings.model_fields.get(field_name)
    alias = field.validation_alias if field else None
    if isinstance(alias, str):
        return alias
    return field_name if field_name.isupper() else f"{PREFIX}{field_name.upper()}"


def _refuse_unknown_variables() -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable.removesuffix("_FILE") not in known:
            message = f"{variable}: there is no such setting; see docs/configuration.md"
            raise SettingsError(message)


class _FileTwins(PydanticBaseSettingsSource):
    """Reads `NAME_FILE` where `NAME` is not set."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        """The stripped text of the file that the twin names."""
        del field
        variable = variable_of(field_name)
        path = os.environ.get(f"{variable}_FILE")
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text("utf-8").strip() or None, field_name, False
        except OSError as error:
            message = f"{variable}_FILE: cannot read {path}: {error.strerror}"
            raise SettingsError(message) from error
        except UnicodeError as error:
            message = f"{variable}_FILE: {path} is not UTF-8 text"
            raise SettingsError(message) from error

    def __call__(self) -> dict[str, str]:
        """Every setting that a file gives."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}
