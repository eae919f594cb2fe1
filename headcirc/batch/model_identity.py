"""Which model measured a row: part of what decides whether an earlier row is still valid."""

from dataclasses import dataclass

from headcirc.pipeline import Pipeline


@dataclass(frozen=True)
class ModelIdentity:
    """The model's name, version and file, and the runtime that computes it."""

    name: str
    version: str
    sha256: str
    backend: str
    precision: str


def identify_model(pipeline: Pipeline) -> ModelIdentity:
    """Return the identity of a loaded model."""
    manifest, backend = pipeline.manifest, pipeline.backend
    return ModelIdentity(
        name=manifest.name,
        version=manifest.version,
        sha256=pipeline.graph.sha256,
        backend=backend.name,
        precision=backend.precision,
    )
