"""Compare measurements with targets: met, missed or not measured.

A missing figure never meets its target. The latency targets are set for two x86 cores with AVX-512
VNNI. The GPU's target is the network latency that arXiv 2604.18148 reports for an RTX 3080.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

MET, MISSED, NOT_MEASURED = "met", "missed", "not measured"
EXIT_MET, EXIT_MISSED, EXIT_NOT_MEASURABLE = 0, 1, 3
CPUS_OF_TARGETS = 2


@dataclass(frozen=True)
class Target:
    """A limit for a figure.

    Attributes
    ----------
    device : str
        `cpu` or `gpu`.
    figure, unit : str
    limit : float
    is_floor : bool
        Whether the figure must be at least the limit; by default it must be at most the limit.
    """

    device: str
    figure: str
    limit: float
    unit: str
    is_floor: bool = False


REQUEST_P50 = Target("cpu", "whole request, p50", 23.0, "ms")
REQUEST_P95 = Target("cpu", "whole request, p95", 35.0, "ms")
NETWORK_P50 = Target("cpu", "network alone, p50", 15.0, "ms")
OVERHEAD = Target("cpu", "whole request over network, p50", 1.5, "times")
NETWORK_INSIDE = Target("cpu", "network inside the service over network alone, p50", 1.1, "times")
AROUND_NETWORK = Target("cpu", "request without its network, p50", 5.0, "ms")
TAIL = Target("cpu", "whole request, p99 over p50", 3.0, "times")
IDLE_MEMORY = Target("cpu", "idle memory of the service", 350.0, "MB")
READY = Target("cpu", "process start to ready, p50", 3.0, "s")
FOLDER_SPEED = Target(
    "cpu", "folder with two processes, compared with one", 1.15, "times", is_floor=True
)
GPU_NETWORK_P50 = Target("gpu", "network alone, p50", 23.0, "ms")
LATENCY_TARGETS = (
    REQUEST_P50,
    REQUEST_P95,
    NETWORK_P50,
    OVERHEAD,
    NETWORK_INSIDE,
    AROUND_NETWORK,
    TAIL,
    IDLE_MEMORY,
    READY,
    GPU_NETWORK_P50,
)


def to_text(value: float, limit: float) -> str:
    """Return a value with three digits, and with four if three would show a missed limit as met."""
    text = f"{value:.3g}"
    return f"{value:.4g}" if float(text) == limit != value else text


@dataclass(frozen=True)
class Verdict:
    """A target and the measured value.

    Attributes
    ----------
    target : Target
    subject : str
        What was measured, or why nothing was measured.
    value : float or None
        None if nothing was measured.
    """

    target: Target
    subject: str
    value: float | None

    @property
    def status(self) -> str:
        """Return `met`, `missed` or `not measured`; a value at the limit meets it."""
        if self.value is None:
            return NOT_MEASURED
        within = self.value <= self.target.limit
        reached = self.value >= self.target.limit
        return MET if (reached if self.target.is_floor else within) else MISSED

    def to_line(self) -> str:
        """Return the verdict as a line of text."""
        target = self.target
        relation = "at least" if target.is_floor else "at most"
        required = f"{target.device}: {target.figure} {relation} {target.limit:g} {target.unit}"
        measured = ""
        if self.value is not None:
            measured = f"{to_text(self.value, target.limit)} {target.unit}, "
        return f"{required}: {self.status} ({measured}{self.subject})"

    def to_facts(self) -> dict[str, Any]:
        """Return the verdict as JSON data."""
        return asdict(self.target) | {
            "subject": self.subject,
            "value": self.value,
            "status": self.status,
        }


def to_exit_status(verdicts: Iterable[Verdict]) -> int:
    """Return 1 if a target was missed, else 3 if one (or none at all) was measured, else 0."""
    found = {verdict.status for verdict in verdicts}
    if MISSED in found:
        return EXIT_MISSED
    return EXIT_MET if found == {MET} else EXIT_NOT_MEASURABLE
