"""Network input to explanation: where the network looked, in the frame, and how concentrated.

The model's explain graph holds forward and gradient in one; it is loaded when it is first asked
for, into the backend that measures. It is float32 on CPUs, also where an 8-bit network measures,
and float16 on a GPU. This module draws nothing and changes no measurement.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.backends.base import Backend
from headcirc.backends.registry import load_explain_backend
from headcirc.errors import InferenceError
from headcirc.geometry import GridMapping
from headcirc.mask import to_frame_grid
from headcirc.model.manifest import Manifest, to_attention_output

RETRY_S = 60.0
"""After a graph did not load, nobody tries for this long: on a GPU a try builds an engine, which
takes its time from the measurements."""
EDGE_BAND_SHARE = 0.1
"""Half the width of the band around the head's edge, as a share of the head's mean radius."""


@dataclass(frozen=True)
class Concentration:
    """How much of a map's mass lies in the head and at its edge.

    A map's mass in a region is the sum of its values there over the sum of all its values in the
    frame. A map that is the same everywhere has the mass of the area, which is given for
    comparison.

    Attributes
    ----------
    head_share : float in [0, 1]
        Mass inside the mask.
    edge_share : float in [0, 1]
        Mass inside the band around the mask's edge: pixels, inside and outside, no further from
        the edge than `EDGE_BAND_SHARE` times the radius of the disc that is as large as the mask.
        The distance is that to the nearest pixel on the other side, centre to centre, less half a
        pixel. The two regions overlap, so the shares do not add up.
    head_area_share, edge_area_share : float in [0, 1]
        Area of the same two regions over the frame's.
    """

    head_share: float
    edge_share: float
    head_area_share: float
    edge_area_share: float


@dataclass(frozen=True)
class Explanation:
    """What the explain graph says of one picture.

    Attributes
    ----------
    outputs : dict of (rows, columns) float32 in [0, 1]
        By the graph's names, each on its own grid over the network's.
    mapping : GridMapping
        Where the frame lies on the network's grid.
    network_rows, network_columns : int
        Size of that grid.
    precision : str
        Of the arithmetic that was explained, `fp32` or `fp16`.
    """

    outputs: dict[str, NDArray[np.float32]]
    mapping: GridMapping
    network_rows: int
    network_columns: int
    precision: str

    def to_saliency_map(self, layer: str) -> NDArray[np.float32]:
        """Return one layer's Grad-CAM in the frame.

        Returns
        -------
        (rows, columns) float32 in [0, 1], frame grid
            In units of the map's maximum on the layer's own grid, so that a coarse map's maximum
            in the frame may lie a little below 1; 0 everywhere if no pixel passes the model's
            threshold. Pixels that pass without being the head that was measured count as head here.

        Raises
        ------
        KeyError
            The model has no such layer; `Manifest.explain.layers` names them.
        """
        return self._to_frame(self.outputs[layer])

    def to_attention_map(self, level: int) -> NDArray[np.float32]:
        """Return one gate's coefficients in the frame: what share of its skip passes, not scaled.

        Raises
        ------
        KeyError
            The model has no such level; `Manifest.explain.attention_levels` names them.
        """
        return self._to_frame(self.outputs[to_attention_output(level)])

    def count_bytes(self) -> int:
        """Return roughly how much memory it holds."""
        return sum(values.nbytes for values in self.outputs.values())

    def _to_frame(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (rows, columns) values of a coarser grid in the frame, bilinearly."""
        size = (self.network_columns, self.network_rows)
        on_network_grid = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR))
        return to_frame_grid(on_network_grid, self.mapping)


class Explainer:
    """A model's explain graph, loaded on first use; safe to use from several threads.

    Parameters
    ----------
    manifest : Manifest
        Of the model that measures.
    backend_name : str
        Of the backend that measures.
    threads : int
        CPUs that the runtime may use.
    clock : callable
        Seconds that only grow.
    """

    def __init__(
        self,
        manifest: Manifest,
        backend_name: str,
        *,
        threads: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = partial(load_explain_backend, backend_name, manifest, threads=threads)
        self._clock = clock
        self._lock = Lock()
        self._backend: Backend | None = None
        self._make_failure: Callable[[], InferenceError] | None = None
        self._failed_s = 0.0

    def explain(self, network_input: NDArray[np.float32], mapping: GridMapping) -> Explanation:
        """Explain one picture.

        Parameters
        ----------
        network_input : (1, 1, height_px, width_px) float32, network grid
        mapping : GridMapping
            Both from `network_input.to_network_input`.

        Raises
        ------
        ModelArtifactError
            The model ships no explain graph, or its file is missing or damaged.
        BackendUnavailableError
            The runtime refuses the graph.
            Either may be that of the last try; see `RETRY_S`.
        """
        backend = self._require_backend()
        outputs = backend.infer_all(network_input)
        rows, columns = network_input.shape[2:]
        maps = {name: values[0, 0] for name, values in outputs.items()}
        return Explanation(maps, mapping, rows, columns, backend.precision)

    def _require_backend(self) -> Backend:
        with self._lock:  # two first requests load one graph
            if self._backend is not None:
                return self._backend
            if self._make_failure is not None and self._clock() < self._failed_s + RETRY_S:
                raise self._make_failure()
            try:
                self._backend = self._load()
            except InferenceError as error:
                # Not the error itself, which would keep all that was in the hands of the load.
                self._make_failure = partial(type(error), *error.args)
                self._failed_s = self._clock()
                raise
            return self._backend


def measure_concentration(
    saliency_map: NDArray[np.float32], mask: NDArray[np.bool_]
) -> Concentration | None:
    """Measure how much of a map lies in the head and at its edge.

    Parameters
    ----------
    saliency_map : (rows, columns) float32, at least 0, frame grid
    mask : (rows, columns) bool, frame grid
        True inside the head.

    Returns
    -------
    Concentration or None
        None where the map or the mask is empty: there is no share of nothing.
    """
    mass = float(saliency_map.sum(dtype=np.float64))
    if mass <= 0 or not mask.any():
        return None
    band = to_edge_band(mask)
    return Concentration(
        head_share=float(saliency_map[mask].sum(dtype=np.float64)) / mass,
        edge_share=float(saliency_map[band].sum(dtype=np.float64)) / mass,
        head_area_share=float(mask.mean()),
        edge_area_share=float(band.mean()),
    )


def to_edge_band(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the (rows, columns) pixels near the mask's edge; see `Concentration`.

    The frame's border is no edge: a head that it cuts has none there.
    """
    inside = mask.astype(np.uint8)
    half_width_px = EDGE_BAND_SHARE * math.sqrt(np.count_nonzero(mask) / math.pi)
    # To the nearest pixel of the other kind; the edge lies about half a pixel before its centre.
    distance_px = np.where(
        mask,
        cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
        cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
    )
    return np.asarray(distance_px - 0.5 <= half_width_px)
