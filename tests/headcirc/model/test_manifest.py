import json
import shutil

import pytest

from headcirc.errors import ModelArtifactError
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR, load_pipeline


@pytest.fixture
def model_dir(tmp_path):
    return shutil.copytree(SHIPPED_MODEL_DIR, tmp_path / "model")


def test_shipped_model_matches_its_manifest():
    """The shipped ONNX file has the manifest's SHA-256, and the facts are those of its network."""
    manifest = load_manifest(SHIPPED_MODEL_DIR)
    assert manifest.width == 32
    assert manifest.parameters == 2_099_405
    assert (manifest.input.width_px, manifest.input.height_px) == (256, 256)


def test_damaged_weights_are_refused(model_dir):
    """One changed byte is noticed when the weights are read."""
    path = model_dir / "model.onnx"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ModelArtifactError, match="SHA-256"):
        load_manifest(model_dir).graphs["fp32"].read()


def test_missing_weights_are_refused(model_dir):
    """A manifest without its weights names the file that is missing."""
    (model_dir / "model.onnx").unlink()
    with pytest.raises(ModelArtifactError, match=r"model\.onnx"):
        load_pipeline(model_dir, precision="fp32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema version 99"),
        ({"input": {"width_px": 256}}, "wrongly typed fact"),
        (
            {
                "mask": {
                    "threshold": 0.5,
                    "minimum_head_share": 0.1,
                    "minimum_mean_probability": 0.9,
                    "acceptable_mean_probability": 0.94,
                    "sure_mean_probability": 0.95,
                    "ellipticity_power": 4,
                    "mood": "good",
                }
            },
            "unknown",
        ),
    ],
)
def test_unreadable_facts_are_refused(model_dir, change, message):
    """Another schema, a missing fact or an unknown one stops the load with its name."""
    path = model_dir / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelArtifactError, match=message):
        load_manifest(model_dir)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("input", "width_px", None),
        ("input", "height_px", 256.0),
        ("input", "pixel_aspect", True),
        ("mask", "threshold", "0.5"),
        ("uncertainty", "size_exponent", "1"),
        ("uncertainty", "large_error", []),
        ("graphs", "fp32", {"file": "model.onnx", "sha256": 1}),
    ],
)
def test_wrongly_typed_fact_is_refused(model_dir, section, name, value):
    """A string for a number, a fraction for an integer or a boolean for a length is an error."""
    path = model_dir / "manifest.json"
    facts = json.loads(path.read_text())
    facts[section][name] = value
    path.write_text(json.dumps(facts))
    with pytest.raises(ModelArtifactError, match="wrongly typed"):
        load_manifest(model_dir)


def test_integer_is_accepted_for_a_float(model_dir):
    """JSON may write a float without a decimal point."""
    path = model_dir / "manifest.json"
    facts = json.loads(path.read_text())
    facts["mask"]["threshold"] = 1
    path.write_text(json.dumps(facts))
    assert load_manifest(model_dir).mask.threshold == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "does not contain a JSON object"),
        ("{", "is not valid JSON"),
        (None, "cannot be read"),
    ],
    ids=["list", "no JSON", "folder"],
)
def test_invalid_manifest_file_is_refused(tmp_path, content, message):
    """A list, truncated JSON or a folder instead of the manifest is an error."""
    path = tmp_path / "manifest.json"
    path.mkdir() if content is None else path.write_text(content)
    with pytest.raises(ModelArtifactError, match=message):
        load_manifest(tmp_path)


@pytest.mark.parametrize("graphs", [{}, []])
def test_manifest_without_graphs_is_refused(model_dir, graphs):
    """A model needs at least one graph."""
    path = model_dir / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"graphs": graphs}))
    with pytest.raises(ModelArtifactError, match="wrongly typed fact"):
        load_manifest(model_dir)


def test_folder_in_the_place_of_weights_is_refused(model_dir):
    """An unreadable file is reported like a missing one."""
    (model_dir / "model.onnx").unlink()
    (model_dir / "model.onnx").mkdir()
    with pytest.raises(ModelArtifactError, match=r"model\.onnx.*cannot be read"):
        load_pipeline(model_dir, precision="fp32")


def test_folder_without_manifest_is_refused(tmp_path):
    """The error says that the folder is not a model."""
    with pytest.raises(ModelArtifactError, match=r"no manifest\.json"):
        load_manifest(tmp_path)


EXPLAIN = {
    "graphs": {"fp32": {"file": "model.explain.onnx", "sha256": "0" * 64}},
    "layers": ["bottleneck", "decoder-512"],
    "default_layer": "bottleneck",
    "attention_levels": [512, 256, 128, 64],
}


def write_explain_facts(model_dir, explain):
    """Put facts, or None for none, in the manifest."""
    path = model_dir / "manifest.json"
    facts = json.loads(path.read_text())
    facts.pop("explain", None)
    path.write_text(json.dumps(facts if explain is None else facts | {"explain": explain}))


def test_explain_facts_are_read(model_dir):
    """Layers, default and levels keep their order; the graph lies beside the others."""
    write_explain_facts(model_dir, EXPLAIN)
    explain = load_manifest(model_dir).explain
    assert explain.layers == ("bottleneck", "decoder-512")
    assert explain.default_layer == "bottleneck"
    assert explain.attention_levels == (512, 256, 128, 64)
    assert explain.graphs["fp32"].path == model_dir / "model.explain.onnx"


def test_explain_graph_uses_the_weights_of_the_named_graph(model_dir):
    """A graph that does not ship is refused."""
    graph = EXPLAIN["graphs"]["fp32"] | {"weights_from": "model.onnx"}
    write_explain_facts(model_dir, EXPLAIN | {"graphs": {"fp32": graph}})
    manifest = load_manifest(model_dir)
    assert manifest.explain.graphs["fp32"].weights == manifest.graphs["fp32"]
    stranger = graph | {"weights_from": "other.onnx"}
    write_explain_facts(model_dir, EXPLAIN | {"graphs": {"fp32": stranger}})
    with pytest.raises(ModelArtifactError, match=r"wrongly typed fact.*other\.onnx"):
        load_manifest(model_dir)


def test_model_without_an_explain_graph_loads(model_dir):
    """It can measure, but not explain."""
    write_explain_facts(model_dir, None)
    assert load_manifest(model_dir).explain is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"default_layer": "head"}, "'head' among the layers"),
        ({"layers": None}, "wrongly typed fact"),
    ],
)
def test_unreadable_explain_facts_are_refused(model_dir, change, message):
    """An unknown default layer or missing layers are an error."""
    write_explain_facts(model_dir, EXPLAIN | change)
    with pytest.raises(ModelArtifactError, match=message):
        load_manifest(model_dir)
