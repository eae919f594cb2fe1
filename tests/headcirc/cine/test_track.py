import threading
from contextlib import closing

import numpy as np
import pytest

from headcirc.cine.track import measure_track
from headcirc.errors import InferenceError, UnreadableImageError
from headcirc.geometry import Frame, to_ellipse_perimeter
from headcirc.readers.sequence import SequenceFrame
from tests.support.cines import draw_empty, draw_frames, to_head
from tests.support.synthetic import to_synthetic_pipeline


class Drawn:
    """A sequence of drawn frames; an exception in place of a frame is raised when it is read."""

    def __init__(self, pictures):
        self._pictures = pictures
        self.frames = len(pictures)
        self.read = 0

    def __iter__(self):
        for index, picture in enumerate(self._pictures):
            yield SequenceFrame(index, 40.0 * index, lambda picture=picture: self._read(picture))

    def _read(self, picture):
        self.read += 1
        if isinstance(picture, Exception):
            raise picture
        return Frame(picture)

    def close(self):
        pass


def track(pictures, **options):
    with closing(measure_track(to_synthetic_pipeline(), Drawn(pictures), **options)) as tracked:
        return list(tracked)


def test_every_frame_is_measured_in_turn():
    """A head that grows by one per cent a frame does so in the track."""
    tracked = track(draw_frames(12, growth=0.01))
    assert [each.index for each in tracked] == list(range(12))
    assert [each.time_ms for each in tracked] == [40.0 * index for index in range(12)]
    for index, each in enumerate(tracked):
        head = to_head(index, growth=0.01)
        expected_px = to_ellipse_perimeter(head.semi_axis_major_px, head.semi_axis_minor_px)
        assert each.analysis.head.head_circumference_px == pytest.approx(expected_px, rel=0.01)


def test_frames_run_through_the_network_together():
    """At most as many as a batch, and one by one if that is asked for."""
    pipeline = to_synthetic_pipeline()
    list(measure_track(pipeline, Drawn(draw_frames(9)), batch=4))
    assert sum(pipeline.backend.calls) == 9
    assert max(pipeline.backend.calls) <= 4
    alone = to_synthetic_pipeline()
    list(measure_track(alone, Drawn(draw_frames(3)), batch=1))
    assert alone.backend.calls == [1, 1, 1]


def test_a_track_is_what_single_frames_give():
    """Batches and threads change no number."""
    pipeline = to_synthetic_pipeline()
    pictures = draw_frames(5, growth=0.05)
    for picture, each in zip(pictures, track(pictures), strict=True):
        prepared = pipeline.prepare_frame(Frame(picture))
        (prediction,) = pipeline.infer(prepared.network_input)
        assert pipeline.finish(prepared, prediction).head.ellipse == each.analysis.head.ellipse


def test_a_frame_without_a_head_is_a_result():
    tracked = track([*draw_frames(2), draw_empty(), *draw_frames(1)])
    assert [each.analysis.head is None for each in tracked] == [False, False, True, False]


def test_a_frame_that_cannot_be_read_costs_one_frame():
    damaged = UnreadableImageError("damaged")
    tracked = track([*draw_frames(2), damaged, *draw_frames(2)])
    assert [each.error for each in tracked] == [None, None, damaged, None, None]
    assert all((each.analysis is None) == (each.error is not None) for each in tracked)


def test_a_first_frame_that_cannot_be_read_refuses_the_cine():
    """Most likely it is the whole file, and the caller learns it before any line."""
    with pytest.raises(UnreadableImageError):
        track([UnreadableImageError("damaged"), *draw_frames(2)])


def test_an_error_of_the_network_reaches_the_caller():
    def fail(_):
        raise InferenceError("broken")

    with pytest.raises(InferenceError):
        track(draw_frames(3), infer=fail)


def test_no_frame_is_decoded_long_before_it_is_needed():
    """A caller that does not go on stops the decoder after a few megabytes."""
    pictures = [np.broadcast_to(np.uint8(0), (1000, 1000)).copy()] * 60
    drawn = Drawn(pictures)
    tracked = measure_track(to_synthetic_pipeline(), drawn)
    next(tracked)
    for _ in range(50):
        threading.Event().wait(0.02)
    assert drawn.read < 30
    tracked.close()


def test_closing_ends_the_threads():
    before = threading.active_count()
    tracked = measure_track(to_synthetic_pipeline(), Drawn(draw_frames(50)))
    next(tracked)
    assert threading.active_count() > before
    tracked.close()
    assert threading.active_count() == before
