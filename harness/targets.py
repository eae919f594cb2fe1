"""Targets, and what a measurement says of them: met, missed or not measured.

What is absent never counts as met. The numbers are those of issue 3, point 2, stated there for
two x86 cores with AVX-512 VNNI; the GPU's is the network latency that arXiv 2604.18148 has from
an RTX 3080.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

MET, MISSED, NOT_MEASURED = "met", "missed", "not measured"
EXIT_MET, EXIT_MISSED, EXIT_NOT_MEASURABLE = 0, 1, 3
CPUS_OF_TARGETS = 2


@dataclass(frozen=True)
class Target:
    """A limit that a figure is held against.

    Attributes
    ----------
    device : str
        `cpu` or `gpu`.
    figure, unit : str
    limit : float
    is_floor : bool
        Whether the figure has to reach the limit, not to stay within it.
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
IDLE_MEMORY = Target("cpu", "idle memory of the service", 350.0, "MB")
READY = Target("cpu", "process start to ready, p50", 3.0, "s")
GPU_NETWORK_P50 = Target("gpu", "network alone, p50", 23.0, "ms")
LATENCY_TARGETS = (
    REQUEST_P50,
    REQUEST_P95,
    NETWORK_P50,
    OVERHEAD,
    IDLE_MEMORY,
    READY,
    GPU_NETWORK_P50,
)


@dataclass(frozen=True)
class Verdict:
    """One target, judged.

    Attributes
    ----------
    target : Target
    subject : str
        What was measured, or why nothing was.
    value : float or None
    """

    target: Target
    subject: str
    value: float | None

    @property
    def status(self) -> str:
        """Return `met`, `missed` or `not measured`; a value on the limit meets it."""
        if self.value is None:
            return NOT_MEASURED
        within = self.value <= self.target.limit
        reached = self.value >= self.target.limit
        return MET if (reached if self.target.is_floor else within) else MISSED

    def to_line(self) -> str:
        """Return the verdict in words."""
        target = self.target
        relation = "at least" if target.is_floor else "at most"
        asked = f"{target.device}: {target.figure} {relation} {target.limit:g} {target.unit}"
        found = "" if self.value is None else f"{self.value:.3g} {target.unit}, "
        return f"{asked}: {self.status} ({found}{self.subject})"

    def to_facts(self) -> dict[str, Any]:
        """Return the verdict as JSON has it."""
        return asdict(self.target) | {
            "subject": self.subject,
            "value": self.value,
            "status": self.status,
        }


def to_exit_status(verdicts: Iterable[Verdict]) -> int:
    """Return 1 if anything was missed, else 3 if anything (or all) was not measured, else 0."""
    found = {verdict.status for verdict in verdicts}
    if MISSED in found:
        return EXIT_MISSED
    return EXIT_MET if found == {MET} else EXIT_NOT_MEASURABLE
