"""Read a site file: how a site's own cases correct the circumference and its interval.

`headcirc recalibrate` writes it. It belongs to one graph of one model, named by its SHA-256. The
values that it states are stated in every answer.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headcirc.errors import SiteFileError

SITE_SCHEMA_VERSION = 1
LARGEST_OFFSET_MM = 20.0
SCALES = (0.9, 1.1)
"""Larger corrections come from a wrong unit or pixel size, not from another way to measure."""
INTERVAL_FACTORS = (0.05, 20.0)
LEAST_SHARE = 0.5
"""A corrected circumference is at least this share of the measured one. Only circumferences that
no head has come near it."""
KINDS: dict[type, tuple[type, ...]] = {float: (float, int), int: (int,), str: (str,)}
"""A field's type to the types that it may have after parsing JSON."""


@dataclass(frozen=True)
class SiteFacts:
    """A site's recalibration.

    Attributes
    ----------
    model_sha256 : str
        SHA-256 of the graph that the cases were measured with.
    offset_mm, scale : float
        The corrected circumference is `scale` times the measured one, plus `offset_mm`.
    interval_factor : float
        The interval is this many times as wide as the model's own.
    level : float
        Share of acceptable answers whose interval should contain the site's own measurement.
    cases : int
        Number of exams that it was made from.
    date : str
        Day on which it was made, such as `2026-01-31`.
    guarantee : str
        What the intervals promise, and on which conditions.
    sha256 : str
        SHA-256 of the site file.
    """

    model_sha256: str
    offset_mm: float
    scale: float
    interval_factor: float
    level: float
    cases: int
    date: str
    guarantee: str
    sha256: str

    def correct(self, head_circumference_mm: float) -> float:
        """Return the corrected circumference in mm."""
        corrected_mm = self.scale * head_circumference_mm + self.offset_mm
        return max(corrected_mm, LEAST_SHARE * head_circumference_mm)

    def describe(self) -> str:
        """Return the applied values as a sentence."""
        return describe_site(
            offset_mm=self.offset_mm,
            scale=self.scale,
            interval_factor=self.interval_factor,
            cases=self.cases,
            date=self.date,
        )


def describe_site(
    *, offset_mm: float, scale: float, interval_factor: float, cases: int, date: str
) -> str:
    """Return a recalibration as a sentence for people."""
    changes = [f"HC {offset_mm:+.1f} mm"] if offset_mm else []
    changes += [f"HC x {scale:.3f}"] if scale != 1 else []
    applied = ", ".join([*changes, f"interval x {interval_factor:.2f}"])
    return f"Recalibrated for this site ({cases} cases, {date}): {applied}."


def load_site(path: Path, *, model_sha256: str) -> SiteFacts:
    """Read a site file and check that it belongs to the model.

    Raises
    ------
    SiteFileError
        The file is missing, damaged, implausible, or of another model.
    """
    try:
        content = path.read_bytes()
        facts = json.loads(content)
    except OSError as error:
        raise SiteFileError(f"The site file cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise SiteFileError(f"The site file is not valid JSON: {error}.") from error
    site = to_site(facts, hashlib.sha256(content).hexdigest())
    if site.model_sha256 != model_sha256:
        raise SiteFileError(
            f"The site file was made with the model {site.model_sha256[:12]}…, and "
            f"{model_sha256[:12]}… is running. Use that model, backend and precision, or make a "
            "new site file by `headcirc evaluate` and `headcirc recalibrate`."
        )
    return site


def to_site(facts: Any, sha256: str) -> SiteFacts:
    """Convert the parsed content of a site file.

    Raises
    ------
    SiteFileError
        A fact is missing, has the wrong type or is implausible.
    """
    if not isinstance(facts, dict) or facts.get("schema_version") != SITE_SCHEMA_VERSION:
        raise SiteFileError(
            f"The site file is not of schema version {SITE_SCHEMA_VERSION}. Make it again by "
            "`headcirc recalibrate`."
        )
    try:
        site = SiteFacts(
            model_sha256=_read(facts["model"], "sha256", str),
            offset_mm=_read(facts, "offset_mm", float),
            scale=_read(facts, "scale", float),
            interval_factor=_read(facts, "interval_factor", float),
            level=_read(facts, "level", float),
            cases=_read(facts, "cases", int),
            date=_read(facts, "date", str),
            guarantee=_read(facts, "guarantee", str),
            sha256=sha256,
        )
    except (KeyError, TypeError) as error:
        raise SiteFileError(
            f"The site file has a missing or wrongly typed fact: {error}. Make it again by "
            "`headcirc recalibrate`."
        ) from error
    _require_plausible(site)
    return site


def _read(facts: dict[str, Any], name: str, kind: type) -> Any:
    value = facts[name]
    if type(value) not in KINDS[kind] or (kind is float and not math.isfinite(value)):
        raise TypeError(f"{name} is {value!r}")
    return value


def _require_plausible(site: SiteFacts) -> None:
    """Refuse values that no recalibration gives.

    Raises
    ------
    SiteFileError
    """
    ranges = {
        "offset_mm": (-LARGEST_OFFSET_MM, LARGEST_OFFSET_MM),
        "scale": SCALES,
        "interval_factor": INTERVAL_FACTORS,
        "level": (0.5, 0.999),
        "cases": (1, math.inf),
    }
    for name, (low, high) in ranges.items():
        value = getattr(site, name)
        if not low <= value <= high:
            raise SiteFileError(
                f"The site file has {name} = {value:g}; plausible are {low:g} to {high:g}. Check "
                "units and pixel sizes, and make it again."
            )
