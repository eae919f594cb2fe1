"""Compute saliency and attention maps in the frame, and measure their concentration.

The model's explain graph contains the forward pass and the gradient. It is loaded on first use,
into the same backend that measures. It runs in float32 on CPUs, even where an 8-bit network
measures, and in float16 on a GPU. This module draws nothing and changes no measurement.
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
"""Wait before a failed load is tried again: on a GPU each attempt builds an engine, which slows
down the measurements."""
EDGE_BAND_SHARE = 0.1
"""Half-width of the band around the head's edge, as a share of the head's mean radius."""


@dataclass(frozen=True)
class Concentration:
    """Share of a map's mass in the head and at its edge.

    The share of a region is the sum of the map's values in it, divided by the sum over the whole
    frame. For a constant map it equals the region's share of the area, which is given for
    comparison.

    Attributes
    ----------
    head_share : float in [0, 1]
        Mass inside the mask.
    edge_share : float in [0, 1]
        Mass in the band on both sides of the mask's edge. The band contains the pixels whose
        distance from the edge is at most `EDGE_BAND_SHARE` times the radius of the disc with the
        mask's area. The distance is measured to the centre of the nearest pixel on the other side,
        minus half a pixel. The two regions overlap, so the shares do not sum to 1.
    head_area_share, edge_area_share : float in [0, 1]
        Area of the same two regions over the area of the frame.
    """

    head_share: float
    edge_share: float
    head_area_share: float
    edge_area_share: float


@dataclass(frozen=True)
class Explanation:
    """The explain graph's outputs for one picture.

    Attributes
    ----------
    outputs : dict of (rows, columns) float32 in [0, 1]
        Maps by the graph's output names. Each has its own resolution and covers the whole network
        grid.
    mapping : GridMapping
        Where the frame lies on the network's grid.
    network_rows, network_columns : int
        Size of the network's grid.
    precision : str
        Precision of the explain graph, `fp32` or `fp16`.
    """

    outputs: dict[str, NDArray[np.float32]]
    mapping: GridMapping
    network_rows: int
    network_columns: int
    precision: str

    def to_saliency_map(self, layer: str) -> NDArray[np.float32]:
        """Return one layer's Grad-CAM map in the frame.

        Parameters
        ----------
        layer : str
            One of `Manifest.explain.layers`.

        Returns
        -------
        (rows, columns) float32 in [0, 1], frame grid
            Divided by the map's maximum on the layer's own grid, so the maximum of a coarse map in
            the frame may be slightly below 1. 0 everywhere if no pixel exceeds the model's
            threshold. Every pixel above the threshold counts as head here, also outside the
            component that was measured.

        References
        ----------
        Selvaraju 2017, Grad-CAM, doi:10.1109/ICCV.2017.74.

        Raises
        ------
        KeyError
            The model has no such layer.
        """
        return self._to_frame(self.outputs[layer])

    def to_attention_map(self, level: int) -> NDArray[np.float32]:
        """Return one gate's coefficients in the frame: the share of the skip that passes, unscaled.

        Parameters
        ----------
        level : int
            One of `Manifest.explain.attention_levels`.

        Returns
        -------
        (rows, columns) float32 in [0, 1], frame grid

        Raises
        ------
        KeyError
            The model has no such level.
        """
        return self._to_frame(self.outputs[to_attention_output(level)])

    def count_bytes(self) -> int:
        """Return the approximate memory use in bytes."""
        return sum(values.nbytes for values in self.outputs.values())

    def _to_frame(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Interpolate (rows, columns) values of a coarser grid to the frame, bilinearly."""
        size = (self.network_columns, self.network_rows)
        on_network_grid = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR))
        return to_frame_grid(on_network_grid, self.mapping)


class Explainer:
    """A model's explain graph, loaded on first use; safe to use from several threads.

    Parameters
    ----------
    manifest : Manifest
        Manifest of the model that measures.
    backend_name : str
        Name of the backend that measures.
    threads : int
        CPUs that the runtime may use.
    load : callable
        Loads the explain graph, as `load_explain_backend` does.
    clock : callable
        Returns monotonic time in seconds.
    """

    def __init__(
        self,
        manifest: Manifest,
        backend_name: str,
        *,
        threads: int,
        load: Callable[..., Backend] = load_explain_backend,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = partial(load, backend_name, manifest, threads=threads)
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
            The runtime refuses the graph. Within `RETRY_S` after a failed load, either error is
            raised again without another attempt.
        """
        backend = self._require_backend()
        outputs = backend.infer_all(network_input)
        rows, columns = network_input.shape[2:]
        maps = {name: values[0, 0] for name, values in outputs.items()}
        return Explanation(maps, mapping, rows, columns, backend.precision)

    def _require_backend(self) -> Backend:
        with self._lock:  # concurrent first requests load the graph once
            if self._backend is not None:
                return self._backend
            if self._make_failure is not None and self._clock() < self._failed_s + RETRY_S:
                raise self._make_failure()
            try:
                self._backend = self._load()
            except InferenceError as error:
                # Keeping the error itself would keep its traceback and everything it references.
                self._make_failure = partial(type(error), *error.args)
                self._failed_s = self._clock()
                raise
            return self._backend


def measure_concentration(
    saliency_map: NDArray[np.float32], mask: NDArray[np.bool_]
) -> Concentration | None:
    """Measure the share of a map's mass in the head and at its edge.

    Parameters
    ----------
    saliency_map : (rows, columns) float32, at least 0, frame grid
    mask : (rows, columns) bool, frame grid
        True inside the head.

    Returns
    -------
    Concentration or None
        None if the map or the mask is zero everywhere, because the shares are undefined.
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
    """Return the pixels near the mask's edge, (rows, columns) bool; see `Concentration`.

    Where the frame's border cuts the head, the border does not count as an edge.
    """
    inside = mask.astype(np.uint8)
    half_width_px = EDGE_BAND_SHARE * math.sqrt(np.count_nonzero(mask) / math.pi)
    # Distance to the nearest pixel on the other side; the edge is half a pixel before its centre.
    distance_px = np.where(
        mask,
        cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
        cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
    )
    return np.asarray(distance_px - 0.5 <= half_width_px)
