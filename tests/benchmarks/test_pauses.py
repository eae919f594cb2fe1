import json
import time

import numpy as np

from benchmarks import pauses
from headcirc.pipeline import Pipeline
from tests.support.synthetic import BrightnessBackend, to_manifest


class TiredBackend(BrightnessBackend):
    """It takes 1 ms, and 20 ms if it rested for more than 4 ms."""

    def infer(self, network_input: np.ndarray) -> list:
        """Answer as the brightness backend does, after the time."""
        rested_s = time.perf_counter() - getattr(self, "ended_s", 0.0)
        time.sleep(0.02 if rested_s > 0.004 else 0.001)
        found = super().infer(network_input)
        self.ended_s = time.perf_counter()
        return found


def test_backend_that_is_slow_after_a_pause_is_found(monkeypatch, tmp_path):
    """Directly after a run it is fast; after a pause or other work it is not."""
    pipeline = Pipeline(to_manifest(), TiredBackend())
    monkeypatch.setattr(pauses, "load_pipeline", lambda _: pipeline)
    monkeypatch.setattr(pauses, "measure_rest_s", lambda *_: 0.008)
    options = ["--rounds", "1", "--data", str(tmp_path / "absent"), "--out", str(tmp_path)]
    assert pauses.main(options) == 0
    report = json.loads((tmp_path / pauses.RESULT_NAME).read_text())
    assert report["pictures"].startswith("8 phantoms")
    assert {each["n"] for each in report["network_ms"].values()} == {pauses.CALLS}
    assert report["ratios"]["directly"] == 1
    assert report["ratios"]["after a pause"] > 2
    assert report["ratios"]["after the rest of a request"] > 2


def test_rest_of_a_request_does_not_contain_the_network():
    """A slow network does not lengthen the pause."""
    pipeline = Pipeline(to_manifest(), TiredBackend())
    pictures = pauses.load_pictures(pauses.SPEED_RESULTS_DIR)[1]
    began_s = time.perf_counter()
    rest_s = pauses.measure_rest_s(pipeline, pictures[:2])
    assert 0 < rest_s < (time.perf_counter() - began_s) / 2
