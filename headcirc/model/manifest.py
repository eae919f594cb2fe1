"""What a shipped model is: the facts that travel with its weights.

`model_export` writes `manifest.json`; everything that runs the model reads it here. Facts about
one deployment (port, limits, backend) are not model facts and do not live here.
"""

import json
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from headcirc.errors import ModelArtifactError
from headcirc.model.graph import Graph
from headcirc.model.uncertainty_model import UncertaintyModel, to_uncertainty_model

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 3
KINDS: dict[object, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float)}
"""A fact's type to the types that JSON has for it."""


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


@dataclass(frozen=True)
class MaskFacts:
    """How probabilities become a head.

    Attributes
    ----------
    threshold : float
        A pixel belongs to the head above this probability.
    minimum_head_share : float
        Smallest area of a head, as a share of the frame's.
    minimum_mean_probability : float
        Of the pixels of a head; below it there is no head, whatever the threshold says.
    acceptable_mean_probability : float
        Of the pixels of a head; below it the answer is not acceptable (`uncertain-mask`).
    sure_mean_probability : float
        Of the pixels of a head; below it the network is asked again (test-time augmentation).
    ellipticity_power : float
        How much shape counts against area where there are several components.
    """

    threshold: float
    minimum_head_share: float
    minimum_mean_probability: float
    acceptable_mean_probability: float
    sure_mean_probability: float
    ellipticity_power: float


@dataclass(frozen=True)
class ExplainFacts:
    """The graphs that tell why, and what they tell.

    Attributes
    ----------
    graphs : dict
        Precision to `Graph`; its outputs are `probability_map`, one Grad-CAM for each layer under
        the layer's name, and each gate's coefficients under `to_attention_output`.
    layers : tuple of str
        Where Grad-CAM is taken, deepest first.
    default_layer : str
        One of them.
    attention_levels : tuple of int
        The paper's names of the gates, deepest first.
    """

    graphs: dict[str, Graph]
    layers: tuple[str, ...]
    default_layer: str
    attention_levels: tuple[int, ...]


def to_attention_output(level: int) -> str:
    """Return the explain graph's name for the coefficients of a gate."""
    return f"attention-{level}"


@dataclass(frozen=True)
class Manifest:
    """All facts of one model, and where its files lie.

    Attributes
    ----------
    name, version : str
    width, parameters : int
        Channels of the first level; trained parameters.
    input, mask : InputFacts, MaskFacts
    graphs : dict
        Precision to `Graph`: every form of the network that ships.
    trained_on : tuple of str
        Components of the data; figures on exams of those are training figures.
    accuracy : dict
        As measured: data, n, figures with intervals, command, and whose weights' they are. Empty
        before it was measured.
    explain : ExplainFacts or None
        None where the model ships no explain graph.
    uncertainty : UncertaintyModel or None
        None where none were recorded: there are no intervals then.
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
    uncertainty: UncertaintyModel | None = None


def load_manifest(artifact_dir: Path) -> Manifest:
    """Read a model's manifest; its weights are checked when they are read.

    Raises
    ------
    ModelArtifactError
        There is no manifest, or a fact is missing or of the wrong kind.
    """
    manifest_path = artifact_dir / MANIFEST_NAME
    try:
        facts = json.loads(manifest_path.read_text())
    except FileNotFoundError as error:
        raise ModelArtifactError(
            f"The model folder {artifact_dir.name!r} has no {MANIFEST_NAME}; name the folder of a "
            "shipped model."
        ) from error
    except OSError as error:
        raise ModelArtifactError(f"{MANIFEST_NAME} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ModelArtifactError(f"{MANIFEST_NAME} is no JSON: {error}.") from error
    return to_manifest(facts, artifact_dir)


def to_manifest(facts: Any, artifact_dir: Path) -> Manifest:
    """Read the facts of a manifest; raises as `load_manifest` does."""
    if not isinstance(facts, dict):
        raise ModelArtifactError(f"{MANIFEST_NAME} holds no facts. Export the model again.")
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
            uncertainty=to_uncertainty_model(facts["uncertainty"])
            if "uncertainty" in facts
            else None,
        )
        _require_kinds(manifest)
    except (AttributeError, KeyError, TypeError) as error:
        raise ModelArtifactError(
            f"{MANIFEST_NAME} lacks a fact, has one too many or one of the wrong kind: {error}. "
            "Export the model again."
        ) from error
    return manifest


def _require_kinds(facts: object) -> None:
    """Refuse, at any depth, a value that is not the text or the number that its field holds."""
    if isinstance(facts, dict):
        for value in facts.values():
            _require_kinds(value)
    elif is_dataclass(facts):
        for each in fields(facts):
            value, kinds = getattr(facts, each.name), KINDS.get(each.type)
            if kinds is not None and type(value) not in kinds:
                raise TypeError(f"{each.name} is {value!r} and no {kinds[-1].__name__}")
            _require_kinds(value)


def _to_graphs(facts: dict[str, Any], artifact_dir: Path) -> dict[str, Graph]:
    return {
        precision: Graph(precision, artifact_dir / graph["file"], graph["sha256"])
        for precision, graph in facts.items()
    }


def _to_explain(facts: dict[str, Any], shipped: dict[str, Graph]) -> ExplainFacts:
    """Read the explain graphs, which take their weights from the graphs that ship beside them."""
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
