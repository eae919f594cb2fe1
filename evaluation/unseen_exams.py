"""Which weights never saw which exams, so that no training figure passes for a measured one.

The weights that ship were trained on every exam. `split_model` holds the version before them,
trained on the train part alone: what is published of other exams is its.
"""

from pathlib import Path

from headcirc.model.manifest import load_manifest

SPLIT_MODEL_DIR = Path(__file__).parent.parent / "models" / "attention-resunet-16-split"
TRAIN = "train"
"""The part whose figures are called training figures by their name."""


class TrainedOnError(ValueError):
    """A model is asked about exams that it was trained on."""


def require_unseen(model_dir: Path, part: str) -> None:
    """Refuse to measure a model on calibration or test exams that its weights were trained on.

    Raises
    ------
    TrainedOnError
        It was trained on them; the message names a model that was not.
    ModelArtifactError
        There is no model in `model_dir`.
    """
    manifest = load_manifest(model_dir)
    if part != TRAIN and part in manifest.trained_on:
        raise TrainedOnError(
            f"{manifest.name} {manifest.version} was trained on the {part} exams too, so that its "
            f"errors there say nothing of others; measure --model {SPLIT_MODEL_DIR.parent.name}/"
            f"{SPLIT_MODEL_DIR.name}, which was not."
        )
