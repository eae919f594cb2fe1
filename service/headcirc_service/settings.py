"""How this service is deployed: one frozen `Settings`, read once from `HEADCIRC_*` variables.

What the model is (input size, threshold, accuracy) stands in its manifest, never here.
"""

import os
import re
from collections.abc import Mapping
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
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from headcirc.pipeline import SHIPPED_MODEL_DIR

PREFIX = "HEADCIRC_"
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
SHA256_DIGITS = re.compile("[0-9a-fA-F]{64}")


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
    header_timeout_ms : int
        A connection whose request's headers take longer to arrive is closed.
    drain_ms : int
        After SIGTERM the service is not ready, yet answers, for this long before it ends.
    log_format : str
        `json`: an object a line; `text`: for people.
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
        SHA-256 of each accepted key, comma-separated; none lets everybody in.
    cors_origins : tuple of str
        Other origins whose web pages may call, comma-separated; none by default.
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
    header_timeout_ms: PositiveInt = 10_000
    drain_ms: NonNegativeInt = 0
    log_format: Literal["json", "text"] = "json"
    otlp_endpoint: HttpUrl | None = None
    max_batch: NonNegativeInt = 0
    batch_wait_ms: NonNegativeFloat = 2.0
    result_ttl_s: NonNegativeInt = 600
    store_max_bytes: PositiveInt = 200_000_000
    store_url: SecretStr | None = None
    api_key_hashes: Annotated[tuple[str, ...], NoDecode] = ()
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()

    @field_validator("api_key_hashes", "cors_origins", mode="before")
    @classmethod
    def split_list(cls, value: object) -> object:
        """Read a comma-separated list."""
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

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
        """Refuse what is no SHA-256, without repeating it: it may be a key."""
        if not all(SHA256_DIGITS.fullmatch(each) for each in value):
            raise ValueError("each must be the SHA-256 of a key, 64 hexadecimal digits")
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
