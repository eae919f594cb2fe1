"""How this service is deployed: one frozen `Settings`, read once from `HEADCIRC_*` variables.

What the model is (input size, threshold, accuracy) stands in its manifest, never here.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    DirectoryPath,
    HttpUrl,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from headcirc.pipeline import SHIPPED_MODEL_DIR

PREFIX = "HEADCIRC_"
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
SHA256_DIGITS = re.compile("[0-9a-fA-F]{64}")
BLANK_SHA256S = {hashlib.sha256(each).hexdigest() for each in (b"", b" ", b"\n", b"\r\n")}
"""SHA-256 of what `printf`, `echo` and a Windows shell make of an empty variable."""
HOST_PATTERN = re.compile(
    r"\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*)|[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*"
)


class Settings(BaseSettings):
    """Deployment facts; each field is the variable `HEADCIRC_<FIELD>`.

    Attributes
    ----------
    artifact_dir : Path
        Folder of the model: its manifest and what that names.
    backend : str
        `auto` takes the first usable of tensorrt, openvino and onnxruntime, and says which.
    precision : str
        `auto` takes the fastest that the model ships for that runtime.
    threads : int
        CPUs for one inference; 0 means those that the process really has.
    max_upload_bytes, max_pixels : int
        Larger bodies and larger pictures are refused with 413.
    queue_capacity : int
        Requests at work or waiting at one time; more are refused with 429. 0 means 16 for each
        picture of the best batch (`max_batch`): by default 16 on CPUs and 128 on a GPU.
    request_timeout_ms : int
        A request that takes longer, once its body is there, is answered with 504.
    upload_timeout_ms : int
        A body that takes longer to arrive is answered with 504. A client that in this time reads
        neither a megabyte of its answer nor the rest of it is cut off.
    upload_least_bytes_per_s : int
        A body that arrives more slowly is answered with 504, once it is 5 s behind.
    trusted_gateways : tuple of str
        Addresses or networks of gateways whose `X-Forwarded-For` names the client; comma-separated.
    header_timeout_ms : int
        A connection whose request's headers take longer to arrive is closed.
    drain_ms : int
        After SIGTERM the service is not ready, yet answers, for this long before it ends.
    log_format : str
        `json`: an object a line; `text`: for people; `auto`: text on a terminal, else JSON.
    otlp_endpoint : str, optional
        A collector (`http://host:4318`) that OpenTelemetry's spans are sent to.
    max_batch : int
        Pictures that run together at most; 0 means 1 on CPUs and 8 on a GPU.
    batch_wait_ms : float
        How long a batch waits for pictures that are being decoded; nothing waits when idle.
    result_ttl_s : int
        How long a result is kept; 0 keeps nothing.
    store_max_bytes : int
        The oldest results make room beyond this.
    store_url : str, optional
        Redis (`redis://`, `rediss://`, `unix://`) that keeps results for all replicas.
    api_key_hashes : tuple of str
        SHA-256 of each key that is let in, comma-separated; not set, everybody is let in.
    require_api_keys : bool
        Without keys the service does not start.
    result_scope : str
        `shared`: a kept result is found by everybody who is let in; `key`: only by the key that
        asked for it.
    allowed_hosts : tuple of str
        Names that requests may be addressed to (`Host`), comma-separated, `*.` for subdomains and
        `*` for any. Not set: any, but on a loopback address without keys only loopback names.
    unread_max_bytes : int
        Pictures that are written and not yet read by their clients; beyond this, more are refused.
    cors_origins : tuple of str
        Web pages of other origins that may call, comma-separated; none by default.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    artifact_dir: DirectoryPath = SHIPPED_MODEL_DIR
    backend: Literal["auto", "tensorrt", "openvino", "onnxruntime", "onnxruntime-cuda"] = "auto"
    precision: Literal["auto", "fp16", "int8", "fp32"] = "auto"
    threads: NonNegativeInt = 0
    max_upload_bytes: PositiveInt = 10_000_000
    max_pixels: PositiveInt = 40_000_000
    queue_capacity: NonNegativeInt = 0
    request_timeout_ms: PositiveInt = 10_000
    upload_timeout_ms: PositiveInt = 30_000
    upload_least_bytes_per_s: PositiveInt = 10_000
    trusted_gateways: Annotated[tuple[str, ...], NoDecode] = ()
    header_timeout_ms: PositiveInt = 10_000
    drain_ms: NonNegativeInt = 0
    log_format: Literal["auto", "json", "text"] = "auto"
    otlp_endpoint: HttpUrl | None = None
    max_batch: NonNegativeInt = 0
    batch_wait_ms: NonNegativeFloat = 2.0
    result_ttl_s: NonNegativeInt = 600
    store_max_bytes: PositiveInt = 200_000_000
    store_url: SecretStr | None = None
    api_key_hashes: Annotated[tuple[str, ...], NoDecode] = ()
    require_api_keys: bool = False
    result_scope: Literal["shared", "key"] = "shared"
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    unread_max_bytes: PositiveInt = 64_000_000
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()

    @field_validator(
        "api_key_hashes", "allowed_hosts", "cors_origins", "trusted_gateways", mode="before"
    )
    @classmethod
    def split_list(cls, value: object) -> object:
        """Read a comma-separated list."""
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("api_key_hashes", "allowed_hosts", mode="before")
    @classmethod
    def require_entries(cls, value: object) -> object:
        """Refuse a protection that is set and empty: that is a mistake, and would open the service.

        It runs before the list is read.
        """
        if isinstance(value, str) and not value.strip(", \t\r\n"):
            raise ValueError("it is set and empty; give it a value, or do not set it")
        return value

    @field_validator("trusted_gateways")
    @classmethod
    def require_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse what is no address and no network: it would silently trust nobody."""
        for each in value:
            try:
                ip_network(each)
            except ValueError as error:
                raise ValueError(f"{error}; name addresses or networks (10.1.2.0/24)") from None
        return value

    @field_validator("store_url")
    @classmethod
    def require_redis(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse what is no address of a Redis, without repeating it: it may hold a password."""
        address = REDIS_SCHEMES[0] if value is None else value.get_secret_value()
        if not address.startswith(REDIS_SCHEMES):
            raise ValueError(f"it must begin with {', '.join(REDIS_SCHEMES)}")
        try:
            urlsplit(address).port  # noqa: B018 - reading it checks it
        except ValueError:
            raise ValueError(
                "its port is no number; of a password, write '/', '?', '#' and '@' as %2F, %3F, "
                "%23 and %40"
            ) from None  # its words repeat what stands where the port should
        return value

    @field_validator("api_key_hashes")
    @classmethod
    def require_hashes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse what is no SHA-256 of a key, without repeating it: it may be a key."""
        if not all(SHA256_DIGITS.fullmatch(each) for each in value):
            raise ValueError("each must be the SHA-256 of a key, 64 hexadecimal digits")
        hashes = tuple(each.lower() for each in value)
        if not BLANK_SHA256S.isdisjoint(hashes):
            raise ValueError("one is the SHA-256 of an empty text; was the key's variable empty?")
        return hashes

    @field_validator("require_api_keys")
    @classmethod
    def require_keys(cls, value: bool, info: ValidationInfo) -> bool:
        """Refuse to be open where keys are required."""
        if value and not info.data.get("api_key_hashes", True):
            raise ValueError(f"keys are required, and {PREFIX}API_KEY_HASHES is not set")
        return value

    @field_validator("result_scope")
    @classmethod
    def require_scopes(cls, value: str, info: ValidationInfo) -> str:
        """Refuse to keep results apart by keys that there are not."""
        if value == "key" and not info.data.get("api_key_hashes", True):
            raise ValueError(f"it needs keys, and {PREFIX}API_KEY_HASHES is not set")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def require_host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse what no Host header can match."""
        if not all(HOST_PATTERN.fullmatch(each) for each in value):
            raise ValueError("each must be a name or an address without a port, '*.name' or '*'")
        return tuple(each.lower() for each in value)


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    ValueError
        A variable is unknown or its value cannot be used; the message names it.
    """
    require_known_variables()
    try:
        return Settings()
    except ValidationError as error:
        told = ((str(e["loc"][0]).upper(), e["msg"]) for e in error.errors())
        faults = (f"{PREFIX}{name}: {why.removeprefix('Value error, ')}" for name, why in told)
        raise ValueError(". ".join(faults) + ".") from error


def require_known_variables(environment: Mapping[str, str] | None = None) -> None:
    """Refuse a `HEADCIRC_*` variable that no field reads, because it is a typing error.

    Raises
    ------
    ValueError
        Names the variables and the ones that exist.
    """
    names = {PREFIX + field.upper() for field in Settings.model_fields}
    given = os.environ if environment is None else environment
    strays = sorted(
        name for name in given if name.upper().startswith(PREFIX) and name.upper() not in names
    )
    if strays:
        raise ValueError(
            f"Unknown setting {', '.join(strays)}; known are {', '.join(sorted(names))}."
        )


def to_public_settings(settings: Settings) -> dict[str, object]:
    """Return the settings as they may be logged: without paths and keys."""
    shown = settings.model_dump()
    shown["artifact_dir"] = Path(settings.artifact_dir).name
    shown["otlp_endpoint"] = settings.otlp_endpoint and "set"
    shown["store_url"] = settings.store_url and "set"
    shown["api_key_hashes"] = len(settings.api_key_hashes)
    return shown
