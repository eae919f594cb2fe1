"""How this service is deployed: one frozen `Settings`, read once from `HEADCIRC_*` variables.

Facts about the model (input size, threshold, accuracy) are in its manifest, never here.
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
    FilePath,
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

from headcirc.backends.registry import BACKENDS
from headcirc.pipeline import SHIPPED_MODEL_DIR

PREFIX = "HEADCIRC_"
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
SHA256_DIGITS = re.compile("[0-9a-fA-F]{64}")
BLANK_SHA256S = {hashlib.sha256(each).hexdigest() for each in (b"", b" ", b"\n", b"\r\n")}
"""SHA-256 of what `printf`, `echo` and a Windows shell write for an empty variable."""
HOST_PATTERN = re.compile(
    r"\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*)|[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*"
)

ORIGIN_PATTERN = re.compile(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
"""An origin in lower case."""
OWN_PORTS = {"http": ":80", "https": ":443"}
"""Left out by browsers where they state an origin."""


class Settings(BaseSettings):
    """Deployment facts; each field is the variable `HEADCIRC_<FIELD>`.

    Attributes
    ----------
    artifact_dir : Path
        Folder of the model, with its manifest and the files that it names.
    site_file : Path, optional
        File of `headcirc recalibrate`: the site's own offset and intervals.
    backend : str
        `auto` takes the first usable one of tensorrt, openvino and onnxruntime, and logs which.
    precision : str
        `auto` takes the fastest that the model ships for that runtime.
    threads : int
        CPUs for one inference; 0 means all that the process may use.
    max_upload_bytes, max_pixels : int
        Larger bodies and larger pictures are refused with 413.
    max_dicom_bytes, dicom_upload_timeout_ms : int
        The same for bodies with a DICOM file or a video, which may hold many frames.
    queue_capacity : int
        Requests at work or waiting at the same time; more are refused with 429. 0 means 16 for each
        picture of the best batch (`max_batch`): by default 16 on CPUs and 128 on a GPU.
    request_timeout_ms : int
        A request that takes longer after its body has arrived is answered with 504.
    cine_timeout_ms : int
        A cine that takes longer after its body has arrived ends with an error line.
    upload_timeout_ms : int
        A body that takes longer to arrive is answered with 504. A client that does not read a
        megabyte of its answer, or the rest of it, in this time is disconnected.
    upload_least_bytes_per_s : int
        A body that arrives more slowly is answered with 504 when it is 5 s late.
    trusted_gateways : tuple of str
        Addresses or networks of reverse proxies that set `X-Forwarded-For`, comma-separated.
    header_timeout_ms : int
        A connection is closed if the headers of a request take longer to arrive.
    drain_ms : int
        How long the service still answers after SIGTERM; it is not ready during that time.
    log_format : str
        `json`: one object per line; `text`: for people; `auto`: text on a terminal, otherwise JSON.
    otlp_endpoint : str, optional
        Collector (`http://host:4318`) that gets OpenTelemetry spans.
    max_batch : int
        Most pictures of one batch; 0 means 1 on CPUs and 8 on a GPU.
    batch_wait_ms : float
        How long a batch waits for pictures that are being decoded; on an idle service none waits.
    result_ttl_s : int
        How long a result is kept; 0 means not at all.
    store_max_bytes : int
        Most memory of kept results; beyond it the oldest are dropped.
    store_url : str, optional
        Redis (`redis://`, `rediss://`, `unix://`) that keeps results for all replicas.
    api_key_hashes : tuple of str
        SHA-256 of each accepted API key, comma-separated; if it is not set, no key is needed.
    require_api_keys : bool
        If true, the service does not start without keys.
    result_scope : str
        `shared`: every caller can read a kept result; `key`: only callers with the key that
        asked for it.
    allowed_hosts : tuple of str
        Names that requests may be addressed to (`Host`), comma-separated, `*.` for subdomains and
        `*` for any. Not set: any, but on a loopback address without keys only loopback names.
    unread_max_bytes : int
        Most bytes of pictures that clients have not read yet; beyond it requests are refused.
    cors_origins : tuple of str
        Origins of other web pages that may call, comma-separated; none by default.
    embed_origins : tuple of str
        Origins of viewers that may show the web page in a frame and send it images,
        comma-separated; none by default.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    artifact_dir: DirectoryPath = SHIPPED_MODEL_DIR
    site_file: FilePath | None = None
    backend: str = "auto"
    precision: Literal["auto", "fp16", "int8", "fp32"] = "auto"
    threads: NonNegativeInt = 0
    max_upload_bytes: PositiveInt = 10_000_000
    max_dicom_bytes: PositiveInt = 50_000_000
    max_pixels: PositiveInt = 40_000_000
    queue_capacity: NonNegativeInt = 0
    request_timeout_ms: PositiveInt = 10_000
    cine_timeout_ms: PositiveInt = 300_000
    upload_timeout_ms: PositiveInt = 30_000
    dicom_upload_timeout_ms: PositiveInt = 120_000
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
    embed_origins: Annotated[tuple[str, ...], NoDecode] = ()

    @field_validator("backend")
    @classmethod
    def require_known_backend(cls, value: str) -> str:
        """Accept `auto` and the names in the list of backends."""
        if value not in ("auto", *BACKENDS):
            raise ValueError(f"Input should be one of {', '.join(('auto', *BACKENDS))}")
        return value

    @field_validator(
        "api_key_hashes",
        "allowed_hosts",
        "cors_origins",
        "embed_origins",
        "trusted_gateways",
        mode="before",
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
        """Refuse a protection that is set and empty: a mistake that would open the service.

        This runs before the list is read.
        """
        if isinstance(value, str) and not value.strip(", \t\r\n"):
            raise ValueError("it is set and empty; give it a value, or do not set it")
        return value

    @field_validator("trusted_gateways")
    @classmethod
    def require_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a value that is neither an address nor a network: it would never match."""
        for each in value:
            try:
                ip_network(each)
            except ValueError as error:
                raise ValueError(f"{error}; name addresses or networks (10.1.2.0/24)") from None
        return value

    @field_validator("store_url")
    @classmethod
    def require_redis(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse an invalid Redis address, without repeating it: it may hold a password."""
        address = REDIS_SCHEMES[0] if value is None else value.get_secret_value()
        if not address.startswith(REDIS_SCHEMES):
            raise ValueError(f"it must begin with {', '.join(REDIS_SCHEMES)}")
        try:
            urlsplit(address).port  # noqa: B018 - reading it checks it
        except ValueError:
            raise ValueError(
                "its port is not a number; in a password, write '/', '?', '#' and '@' as %2F, %3F, "
                "%23 and %40"
            ) from None  # its message repeats the text in place of the port
        return value

    @field_validator("api_key_hashes")
    @classmethod
    def require_hashes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a value that is not a SHA-256, without repeating it: it may be a key."""
        if not all(SHA256_DIGITS.fullmatch(each) for each in value):
            raise ValueError("each must be the SHA-256 of a key, 64 hexadecimal digits")
        hashes = tuple(each.lower() for each in value)
        if not BLANK_SHA256S.isdisjoint(hashes):
            raise ValueError("one is the SHA-256 of an empty text; was the key's variable empty?")
        return hashes

    @field_validator("require_api_keys")
    @classmethod
    def require_keys(cls, value: bool, info: ValidationInfo) -> bool:
        """Refuse to start without keys if they are required."""
        if value and not info.data.get("api_key_hashes", True):
            raise ValueError(f"keys are required, and {PREFIX}API_KEY_HASHES is not set")
        return value

    @field_validator("result_scope")
    @classmethod
    def require_scopes(cls, value: str, info: ValidationInfo) -> str:
        """Refuse to separate results by key if there are no keys."""
        if value == "key" and not info.data.get("api_key_hashes", True):
            raise ValueError(f"it needs keys, and {PREFIX}API_KEY_HASHES is not set")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def require_host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a value that no Host header can match."""
        if not all(HOST_PATTERN.fullmatch(each) for each in value):
            raise ValueError("each must be a name or an address without a port, '*.name' or '*'")
        return tuple(each.lower() for each in value)

    @field_validator("embed_origins")
    @classmethod
    def require_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Return origins as browsers write them; refuse anything else, as it goes into a header."""
        origins = tuple(each.lower() for each in value)
        if not all(ORIGIN_PATTERN.fullmatch(each) for each in origins):
            raise ValueError(
                "each must be an origin without a path or '*', such as https://viewer.example"
            )
        return tuple(each.removesuffix(OWN_PORTS[each.split(":")[0]]) for each in origins)


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    ValueError
        A variable is unknown or its value is invalid; the message names it.
    """
    require_known_variables()
    try:
        return Settings()
    except ValidationError as error:
        errors = ((str(e["loc"][0]).upper(), e["msg"]) for e in error.errors())
        faults = (f"{PREFIX}{name}: {why.removeprefix('Value error, ')}" for name, why in errors)
        raise ValueError(". ".join(faults) + ".") from error


def require_known_variables(environment: Mapping[str, str] | None = None) -> None:
    """Refuse a `HEADCIRC_*` variable that no field reads, because it is misspelt.

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
    """Return the settings for the log, without paths, addresses and keys."""
    shown = settings.model_dump()
    shown["artifact_dir"] = Path(settings.artifact_dir).name
    shown["site_file"] = settings.site_file and "set"
    shown["otlp_endpoint"] = settings.otlp_endpoint and "set"
    shown["store_url"] = settings.store_url and "set"
    shown["api_key_hashes"] = len(settings.api_key_hashes)
    return shown
