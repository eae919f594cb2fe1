"""A worker whose decoder has a fault; Ray imports it in its own processes."""

import resource

from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.ray_cluster import Plan
from headcirc.batch.ray_workers import MeasuringWorker
from tests.support.crashing import load_crashing


class CrashingWorker(MeasuringWorker):
    """Loads no model; some files end it."""

    def load(self, plan: Plan) -> ModelIdentity:
        """Be ready at once."""
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        self._measure, model = load_crashing()
        return model
