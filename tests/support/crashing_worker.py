"""A Ray worker with a faulty decoder; Ray imports this module in its own processes."""

import resource
from typing import Any

from headcirc.batch.ray_cluster import Plan
from headcirc.batch.ray_workers import MeasuringWorker
from tests.support.crashing import load_crashing


class CrashingWorker(MeasuringWorker):
    """A worker without a model that crashes on some files."""

    def load(self, plan: Plan) -> dict[str, Any]:
        """Load the faulty measuring function."""
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        self._measure, _ = load_crashing()
        return {"name": "stub", "sha256": "0"}
