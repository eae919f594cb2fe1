"""Read one graph file of a model: check its SHA-256 and fill in shared weights.

This module does not interpret the network; see `headcirc.model.manifest`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from headcirc.errors import ModelArtifactError
from headcirc.model.shared_weights import fill_weights


@dataclass(frozen=True)
class Graph:
    """One ONNX file of the network, in one precision.

    Attributes
    ----------
    precision : str
        `fp32`, `fp16` (with float32 inputs and outputs) or `int8`.
    path : Path
    sha256 : str
        SHA-256 of the file's bytes.
    weights : Graph or None
        Graph that holds the weights which this file only names; see `shared_weights`.
    """

    precision: str
    path: Path
    sha256: str
    weights: "Graph | None" = None

    @property
    def identity(self) -> str:
        """Return a string that is different for every different result of `read`."""
        return self.sha256 if self.weights is None else f"{self.sha256}+{self.weights.identity}"

    def read(self) -> bytes:
        """Return the complete graph, with all its weights, as ONNX bytes.

        Raises
        ------
        ModelArtifactError
            A file is missing, cannot be read, or does not match the manifest's SHA-256.
        """
        content = self._read_file()
        if self.weights is None:
            return content
        source = self.weights.read()
        try:
            return fill_weights(content, source)
        except (ArithmeticError, LookupError, ValueError) as error:
            raise ModelArtifactError(
                f"The model's file {self.path.name!r} cannot be combined with the weights of "
                f"{self.weights.path.name!r}. Export the model again."
            ) from error

    def _read_file(self) -> bytes:
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ModelArtifactError(
                f"The model's file {self.path.name!r} cannot be read: {error.strerror}. Restore it."
            ) from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ModelArtifactError(
                f"The model's file {self.path.name!r} has SHA-256 {found[:12]}…; the manifest "
                f"says {self.sha256[:12]}…. It is damaged or another model; restore it."
            )
        return content
