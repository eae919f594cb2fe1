"""Which model measured a row: part of what decides whether an earlier row is still valid."""

from dataclasses import dataclass

from headcirc.pipeline import Pipeline


@dataclass(frozen=True)
class ModelIdentity:
    """The model's name, version and file, the runtime that computes it, and the site's file."""

    name: str
    version: str
    sha256: str
    backend: str
    precision: str
    site_sha256: str = ""


def identify_model(pipeline: Pipeline) -> ModelIdentity:
    """Return the identity of a loaded model."""
    manifest, backend = pipeline.manifest, pipeline.backend
    return ModelIdentity(
        name=manifest.name,
        version=manifest.version,
        sha256=pipeline.graph.sha256,
        backend=backend.name,
        precision=backend.precision,
        site_sha256="" if pipeline.site is None else pipeline.site.sha256,
    )
