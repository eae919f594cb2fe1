import json
from types import SimpleNamespace

import pytest

from benchmarks import pauses
from harness.pictures import draw_pictures
from headcirc.pipeline import Pipeline
from tests.support.synthetic import BrightnessBackend, to_manifest

REST_S = 0.003


class Clock:
    """A clock that only `sleep` and the tired backend move."""

    def __init__(self) -> None:
        self.now_s = self.awake_until_s = 0.0

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


class TiredBackend(BrightnessBackend):
    """It takes 1 ms, and 3 ms if time passed since the last answer."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def infer(self, network_input):
        """Answer as the brightness backend does, and let the time pass."""
        is_tired = self.clock.now_s > self.clock.awake_until_s
        self.clock.sleep(0.003 if is_tired else 0.001)
        self.clock.awake_until_s = self.clock.now_s
        return super().infer(network_input)


@pytest.fixture
def pipeline(monkeypatch):
    """Return a pipeline in which only the network and the rest of a request take time."""
    clock = Clock()
    time = SimpleNamespace(perf_counter=lambda: clock.now_s, sleep=clock.sleep)
    monkeypatch.setattr(pauses, "time", time)
    real = pauses.do_rest

    def do_rest(*parts):
        real(*parts)
        clock.sleep(REST_S)

    monkeypatch.setattr(pauses, "do_rest", do_rest)
    return Pipeline(to_manifest(), TiredBackend(clock))


def test_backend_that_is_slow_after_a_pause_is_found(pipeline, monkeypatch, tmp_path):
    """Directly after a run it takes 1 ms; after a pause or other work 3 ms."""
    monkeypatch.setattr(pauses, "load_pipeline", lambda _: pipeline)
    options = ["--rounds", "2", "--data", str(tmp_path / "absent"), "--out", str(tmp_path)]
    assert pauses.main(options) == 0
    report = json.loads((tmp_path / pauses.RESULT_NAME).read_text())
    assert report["pictures"].startswith("8 phantoms")
    assert {each["n"] for each in report["network_ms"].values()} == {2 * pauses.CALLS}
    assert list(report["ratios"].values()) == pytest.approx([1, 3, 3])


def test_rest_of_a_request_does_not_contain_the_network(pipeline):
    """A slow network does not lengthen the pause."""
    assert pauses.measure_rest_s(pipeline, draw_pictures()[:2]) == pytest.approx(REST_S)
