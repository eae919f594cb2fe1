"""One file of a model: found, proven to be the one that is meant, and made whole.

This module does not know what the network in it computes; see `headcirc.model.manifest`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from headcirc.errors import ModelArtifactError
from headcirc.model.shared_weights import fill_weights


@dataclass(frozen=True)
class Graph:
    """One form of the network: an ONNX file and the arithmetic in it.

    Attributes
    ----------
    precision : str
        `fp32`, `fp16` (with float32 inputs and outputs) or `int8`.
    path : Path
    sha256 : str
        Of the file's bytes.
    weights : Graph or None
        Whose weights the file names without holding them; see `shared_weights`.
    """

    precision: str
    path: Path
    sha256: str
    weights: "Graph | None" = None

    @property
    def identity(self) -> str:
        """Return what differs wherever `read` differs."""
        return self.sha256 if self.weights is None else f"{self.sha256}+{self.weights.identity}"

    def read(self) -> bytes:
        """Return the graph, its weights in it.

        Raises
        ------
        ModelArtifactError
            A file is missing, or is not the one that the manifest describes.
        """
        content = self._read_file()
        if self.weights is None:
            return content
        source = self.weights.read()
        try:
            return fill_weights(content, source)
        except (ArithmeticError, LookupError, ValueError) as error:
            raise ModelArtifactError(
                f"The model's file {self.path.name!r} is no graph that {self.weights.path.name!r} "
                "gives its weights to. Export the model again."
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
