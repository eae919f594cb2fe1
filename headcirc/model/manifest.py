"""Read a model's manifest: the facts that ship with its weights.

`model_export` writes `manifest.json`; everything that runs the model reads it through this module.
Settings of a deployment (port, limits, backend) do not belong in the manifest.
"""

import json
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from headcirc.errors import ModelArtifactError
from headcirc.model.graph import Graph
from headcirc.model.uncertainty_model import UncertaintyModel, to_uncertainty_model

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 4
KINDS: dict[object, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float)}
"""A field's type to the types that it may have after parsing JSON."""


@dataclass(frozen=True)
class InputFacts:
    """The network's grid and the normalisation of its input.

    Attributes
    ----------
    width_px, height_px : int
        Size of the network's grid.
    pixel_aspect : float
        Width over height of the frame area that one network pixel covers.
    mean, standard_deviation : float
        Statistics of the training frames' grey values, on a scale from 0 to 1.
    """

    width_px: int
    height_px: int
    pixel_aspect: float
    mean: float
    standard_deviation: float


@dataclass(frozen=True)
class MaskFacts:
    """Thresholds that turn probabilities into a head mask.

    Attributes
    ----------
    threshold : float
        A pixel belongs to the head above this probability.
    minimum_head_share : float
        Minimum area of a head, as a share of the frame's area.
    minimum_mean_probability : float
        Minimum mean probability over a head's pixels; below it the result is "no head".
    acceptable_mean_probability : float
        Below this mean probability the result is not acceptable (`uncertain-mask`).
    sure_mean_probability : float
        Below this mean probability, test-time augmentation is used.
    ellipticity_power : float
        Exponent of the ellipticity in the score that selects one of several components.
    """

    threshold: float
    minimum_head_share: float
    minimum_mean_probability: float
    acceptable_mean_probability: float
    sure_mean_probability: float
    ellipticity_power: float


@dataclass(frozen=True)
class HeadPlaneFacts:
    """Limits on the network's output for the kind of plane.

    Attributes
    ----------
    acceptable_probability : float
        Below this probability of a head plane the result is not acceptable (`not-a-head-plane`).
    minimum_probability : float
        Below this probability no head is reported, whatever the mask; 0 for no such limit.
    """

    acceptable_probability: float
    minimum_probability: float = 0.0

    def excludes_head(self, probability: float | None) -> bool:
        """Return whether the plane is so surely another one that a mask is no head."""
        return probability is not None and probability < self.minimum_probability


@dataclass(frozen=True)
class ExplainFacts:
    """The explain graphs and the names of their outputs.

    Attributes
    ----------
    graphs : dict
        Precision to `Graph`. The outputs are `probability_map`, one Grad-CAM map per layer, named
        after the layer, and the coefficients of each gate, named by `to_attention_output`.
    layers : tuple of str
        Layers with a Grad-CAM map, deepest first.
    default_layer : str
        One of `layers`.
    attention_levels : tuple of int
        Attention gates, named as in the paper, deepest first.
    """

    graphs: dict[str, Graph]
    layers: tuple[str, ...]
    default_layer: str
    attention_levels: tuple[int, ...]


def to_attention_output(level: int) -> str:
    """Return the name of the explain graph's output for the coefficients of a gate."""
    return f"attention-{level}"


@dataclass(frozen=True)
class Manifest:
    """All facts of one model, and the paths of its files.

    Attributes
    ----------
    name, version : str
    width, parameters : int
        Channels of the first level; number of trained parameters.
    input, mask : InputFacts, MaskFacts
    head_plane : HeadPlaneFacts or None
        None if the graphs have no output for the kind of plane.
    graphs : dict
        Precision to `Graph`, for every precision that ships.
    trained_on : tuple of str
        Parts of the data split that the model was trained on. Figures measured on these parts are
        training figures.
    accuracy : dict
        Measured accuracy: data, number of images, figures with intervals, command, and the weights
        that were measured. Empty before the first measurement.
    explain : ExplainFacts or None
        None if the model ships no explain graph.
    uncertainty : UncertaintyModel or None
        None if the model has no uncertainty model; results then have no interval.
    """

    name: str
    version: str
    width: int
    parameters: int
    input: InputFacts
    mask: MaskFacts
    graphs: dict[str, Graph]
    trained_on: tuple[str, ...] = ()
    accuracy: dict[str, Any] = field(default_factory=dict)
    explain: ExplainFacts | None = None
    head_plane: HeadPlaneFacts | None = None
    uncertainty: UncertaintyModel | None = None


def load_manifest(artifact_dir: Path) -> Manifest:
    """Read a model's manifest. The graphs are checked later, when they are read.

    Parameters
    ----------
    artifact_dir : Path
        Folder of the model, with `manifest.json` and the graphs.

    Raises
    ------
    ModelArtifactError
        There is no manifest, or a fact is missing or has the wrong type.
    """
    manifest_path = artifact_dir / MANIFEST_NAME
    try:
        facts = json.loads(manifest_path.read_text())
    except FileNotFoundError as error:
        raise ModelArtifactError(
            f"The model folder {artifact_dir.name!r} does not exist or has no {MANIFEST_NAME}; "
            "name the folder of a shipped or exported model (make export MODEL=... exports one)."
        ) from error
    except OSError as error:
        raise ModelArtifactError(f"{MANIFEST_NAME} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ModelArtifactError(f"{MANIFEST_NAME} is not valid JSON: {error}.") from error
    return to_manifest(facts, artifact_dir)


def to_manifest(facts: Any, artifact_dir: Path) -> Manifest:
    """Convert parsed JSON to a manifest.

    Parameters
    ----------
    facts : object
        The content of `manifest.json`.
    artifact_dir : Path
        Folder of the graphs.

    Raises
    ------
    ModelArtifactError
        A fact is missing, unknown or has the wrong type, or the schema version is another.
    """
    if not isinstance(facts, dict):
        raise ModelArtifactError(
            f"{MANIFEST_NAME} does not contain a JSON object. Export the model again."
        )
    if facts.get("schema_version") != SCHEMA_VERSION:
        raise ModelArtifactError(
            f"{MANIFEST_NAME} has schema version {facts.get('schema_version')}; this software "
            f"reads version {SCHEMA_VERSION}. Export the model again."
        )
    try:
        graphs = _to_graphs(facts["graphs"], artifact_dir)
        if not graphs:
            raise KeyError("a graph")
        manifest = Manifest(
            name=facts["name"],
            version=facts["version"],
            width=facts["width"],
            parameters=facts["parameters"],
            input=InputFacts(**facts["input"]),
            mask=MaskFacts(**facts["mask"]),
            graphs=graphs,
            trained_on=tuple(facts.get("training", {}).get("recipe", {}).get("parts", ())),
            accuracy=facts.get("accuracy", {}),
            explain=_to_explain(facts["explain"], graphs) if "explain" in facts else None,
            head_plane=HeadPlaneFacts(**facts["head_plane"]) if "head_plane" in facts else None,
            uncertainty=to_uncertainty_model(facts["uncertainty"])
            if "uncertainty" in facts
            else None,
        )
        _require_kinds(manifest)
    except (AttributeError, KeyError, TypeError) as error:
        raise ModelArtifactError(
            f"{MANIFEST_NAME} has a missing, unknown or wrongly typed fact: {error}. "
            "Export the model again."
        ) from error
    return manifest


def _require_kinds(facts: object) -> None:
    """Check the type of every string and number, at any depth."""
    if isinstance(facts, dict):
        for value in facts.values():
            _require_kinds(value)
    elif is_dataclass(facts):
        for each in fields(facts):
            value, kinds = getattr(facts, each.name), KINDS.get(each.type)
            if kinds is not None and type(value) not in kinds:
                raise TypeError(f"{each.name} is {value!r}, not of type {kinds[-1].__name__}")
            _require_kinds(value)


def _to_graphs(facts: dict[str, Any], artifact_dir: Path) -> dict[str, Graph]:
    return {
        precision: Graph(precision, artifact_dir / graph["file"], graph["sha256"])
        for precision, graph in facts.items()
    }


def _to_explain(facts: dict[str, Any], shipped: dict[str, Graph]) -> ExplainFacts:
    """Read the explain graphs, which share the weights of the shipped graphs."""
    folder = next(iter(shipped.values())).path.parent
    files = {graph.path.name: graph for graph in shipped.values()}
    graphs = _to_graphs(facts["graphs"], folder)
    for precision, graph in graphs.items():
        source = facts["graphs"][precision].get("weights_from")
        if source is not None:
            graphs[precision] = replace(graph, weights=files[source])
    explain = ExplainFacts(
        graphs=graphs,
        layers=tuple(facts["layers"]),
        default_layer=facts["default_layer"],
        attention_levels=tuple(facts["attention_levels"]),
    )
    if explain.default_layer not in explain.layers:
        raise KeyError(f"default layer {explain.default_layer!r} among the layers")
    return explain
