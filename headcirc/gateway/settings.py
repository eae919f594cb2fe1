"""Read the gateway's settings from a TOML file."""

import re
import tomllib
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
"""Printable ASCII without the backslash (PS3.5, 6.2)."""
ANY = "*"
MOST_PORT = 65535
KINDS = ("tid1500", "tid5000", "seg", "capture")
"""Kinds of reports, as `headcirc.reports` names them; repeated here to keep the listener small."""
Section = TypeVar("Section")


class SettingsError(ValueError):
    """The settings cannot be used; the message names the setting and what it needs."""


@dataclass(frozen=True)
class Tls:
    """Files of TLS, in PEM.

    Attributes
    ----------
    certificate, key : Path
        Of this side.
    authority : Path
        Certificates that the other side's certificate must come from.
    """

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where images are received, and from whom.

    Attributes
    ----------
    calling_ae_titles : tuple of str
        AE titles that may send; `*` for any.
    ae_title : str
        Our own; a sender must call it.
    host : str
    port : int
    most_associations : int
        Senders at the same time.
    tls : Tls or None
        Then senders need a certificate.
    """

    calling_ae_titles: tuple[str, ...]
    ae_title: str = "HEADCIRC"
    host: str = "127.0.0.1"
    port: int = 11112
    most_associations: int = 8
    tls: Tls | None = None


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """Where images wait, and how many.

    Attributes
    ----------
    folder : Path
        Holds everything: images, reports, the database, what failed.
    most_images : int
        Images that are not delivered yet; a further one is refused, and its sender tries later.
    most_bytes : int
        Size of these images together.
    least_free_bytes : int
        Room on the disk below which no image is taken.
    keep_days : float
        How long a delivered image is remembered, so that a repeat is recognised. Its files are
        deleted when it is delivered.
    """

    folder: Path
    most_images: int = 10_000
    most_bytes: int = 20_000_000_000
    least_free_bytes: int = 1_000_000_000
    keep_days: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Who measures.

    Attributes
    ----------
    server : str
        Address of a service; empty: the worker loads the model itself.
    api_key_file : Path or None
        The service's key.
    site_file : Path or None
        The site's own recalibration, for the model that the worker loads.
    cine_frames : int
        How many frames of a cine are measured, at equal distances; the best one is reported.
    """

    server: str = ""
    api_key_file: Path | None = None
    site_file: Path | None = None
    cine_frames: int = 9


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How long what fails is tried again.

    Attributes
    ----------
    first_s, longest_s : float
        Wait after the first failure, and the longest; each wait is twice the one before.
    give_up_hours : float
        After this time an image or a report goes to the dead letters.
    """

    first_s: float = 5.0
    longest_s: float = 900.0
    give_up_hours: float = 168.0

    def to_wait_s(self, attempts: int) -> float:
        """Return the wait after so many attempts, at least one."""
        doubled = min(attempts - 1, 30)  # beyond that the number would grow without use
        return min(self.first_s * 2.0**doubled, self.longest_s)


@dataclass(frozen=True, kw_only=True)
class MetricsAddress:
    """Where Prometheus reads the metrics.

    Attributes
    ----------
    port : int
        0: nowhere.
    host : str
    """

    port: int = 0
    host: str = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where reports go: a C-STORE receiver (`host` and `port`), or a STOW-RS address (`url`).

    Attributes
    ----------
    name : str
        In logs, metrics and the status.
    reports : tuple of str
        Kinds of reports that it gets.
    host, port, ae_title : str, int, str
        Of a C-STORE receiver.
    url : str
        DICOMweb root, such as `https://archive/dicom-web`.
    tls : Tls or None
    """

    name: str
    reports: tuple[str, ...] = ("tid1500", "capture")
    host: str = ""
    port: int = 0
    ae_title: str = ""
    url: str = ""
    tls: Tls | None = None


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """All settings; each attribute is a section of the file."""

    listener: Listener
    queue: QueueLimits
    destination: tuple[Destination, ...]
    measuring: Measuring = field(default_factory=Measuring)
    retries: Retries = field(default_factory=Retries)
    metrics: MetricsAddress = field(default_factory=MetricsAddress)


def load_settings(path: Path) -> GatewaySettings:
    """Read and check the settings.

    Raises
    ------
    SettingsError
        A setting is missing, unknown, or cannot be used.
    OSError
        The file cannot be read.
    """
    try:
        facts = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings are not valid TOML: {error}.") from error
    settings = _to_section(GatewaySettings, facts, "")
    _require_usable(settings)
    return settings


def _to_section(kind: type[Section], facts: Any, place: str) -> Section:
    """Return a table of the file as the dataclass that describes it."""
    if not isinstance(facts, dict):
        raise SettingsError(f"{place or 'The file'} must be a table.")
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(facts) - set(known))
    if unknown:
        raise SettingsError(f"{place}{unknown[0]} is no setting; known are {', '.join(known)}.")
    missing = [
        name
        for name, each in known.items()
        if name not in facts and each.default is MISSING and each.default_factory is MISSING
    ]
    if missing:
        raise SettingsError(f"{place}{missing[0]} is missing.")
    hints = get_type_hints(kind)
    return kind(
        **{name: _to_value(hints[name], value, f"{place}{name}") for name, value in facts.items()}
    )


def _to_value(kind: Any, value: Any, place: str) -> Any:
    """Return a value of the file in the type of its field."""
    if isinstance(kind, UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise SettingsError(f"{place} must be a list of texts.")
        return tuple(value)
    if kind == tuple[Destination, ...]:
        if not isinstance(value, list):
            raise SettingsError(f"{place} must be a list of tables: write [[{place}]].")
        return tuple(_to_section(Destination, each, f"{place}.") for each in value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and type(value) is int:
        return float(value)
    if kind in (str, int, float):
        if type(value) is not kind:
            raise SettingsError(f"{place} must be of type {kind.__name__}.")
        return value
    return _to_section(kind, value, f"{place}.")


def _require_usable(settings: GatewaySettings) -> None:
    listener, queue, retries = settings.listener, settings.queue, settings.retries
    titles = [listener.ae_title, *(t for t in listener.calling_ae_titles if t != ANY)]
    titles += [each.ae_title for each in settings.destination if each.host]
    for title in titles:
        if not AE_TITLE.fullmatch(title) or not title.strip():
            raise SettingsError(f"{title!r} is no AE title; it has 1 to 16 characters of ASCII.")
    if not listener.calling_ae_titles:
        raise SettingsError(
            f"listener.calling_ae_titles is empty; name who may send, or {ANY!r} for anybody."
        )
    ports = [("listener.port", listener.port), ("metrics.port", settings.metrics.port)]
    ports += [("destination.port", each.port) for each in settings.destination]
    for place, port in ports:
        if not 0 <= port <= MOST_PORT:
            raise SettingsError(f"{place} is {port}; ports are 1 to {MOST_PORT}.")
    numbers = {
        "listener.most_associations": listener.most_associations,
        "queue.most_images": queue.most_images,
        "queue.most_bytes": queue.most_bytes,
        "measuring.cine_frames": settings.measuring.cine_frames,
        "retries.first_s": retries.first_s,
        "retries.longest_s": retries.longest_s,
        "retries.give_up_hours": retries.give_up_hours,
    }
    for place, number in numbers.items():
        if number <= 0:
            raise SettingsError(f"{place} is {number}; it must be above 0.")
    if settings.measuring.server and settings.measuring.site_file is not None:
        raise SettingsError(
            "measuring.site_file is for the model that the worker loads; give it to the service "
            "(HEADCIRC_SITE_FILE), or leave out measuring.server."
        )
    _require_destinations(settings.destination)


def _require_destinations(destinations: tuple[Destination, ...]) -> None:
    if not destinations:
        raise SettingsError("There is no [[destination]]; reports would go nowhere.")
    if len({each.name for each in destinations}) < len(destinations):
        raise SettingsError("Two destinations have the same name.")
    for each in destinations:
        place = f"destination {each.name!r}"
        if bool(each.url) == bool(each.host):
            raise SettingsError(f"{place} needs either host, port and ae_title, or url.")
        if each.host and not (each.port and each.ae_title):
            raise SettingsError(f"{place} needs host, port and ae_title.")
        if each.url and not each.url.startswith(("http://", "https://")):
            raise SettingsError(f"{place}: url must begin with http:// or https://.")
        unknown = sorted(set(each.reports) - set(KINDS))
        if unknown or not each.reports:
            raise SettingsError(f"{place}: reports must be some of {', '.join(KINDS)}.")
