"""What a shipped model is: the facts that travel with its weights.

`model_export` writes `manifest.json`; everything that runs the model reads it here. Facts about
one deployment (port, limits, backend) are not model facts and do not live here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class InputFacts:
    """The network's grid and how grey values enter it.

    Attributes
    ----------
    width_px, height_px : int
        Size of the network's grid.
    pixel_aspect : float
        Width over height of the frame area that one network pixel covers.
    mean, standard_deviation : float
        Of the training frames' grey values, on a scale from 0 to 1.
    """

    width_px: int
    height_px: int
    pixel_aspect: float
    mean: float
    standard_deviation: float
