"""Refuse to measure a model on exams that it was trained on.

The shipped weights were trained on every exam. The split model is an earlier version that was
trained on the train part only; the comparison of architectures is measured with it.
"""

from pathlib import Path

from headcirc.model.manifest import load_manifest

SPLIT_MODEL_DIR = Path(__file__).parent.parent / "models" / "attention-resunet-16-split"
TRAIN = "train"
"""The part whose figures are training figures by name, so every model may be measured on it."""


class TrainedOnError(ValueError):
    """The model was trained on the exams that it should be measured on."""


def require_unseen(model_dir: Path, part: str) -> None:
    """Raise if the model was trained on a part other than the train part.

    Raises
    ------
    TrainedOnError
        The model was trained on the part; the message names a model that was not.
    ModelArtifactError
        There is no model in `model_dir`.
    """
    manifest = load_manifest(model_dir)
    if part != TRAIN and part in manifest.trained_on:
        raise TrainedOnError(
            f"{manifest.name} {manifest.version} was trained on the {part} exams, so its errors "
            "there do not describe its accuracy on other exams. Use --model "
            f"{SPLIT_MODEL_DIR.parent.name}/{SPLIT_MODEL_DIR.name}, which was not trained on them "
            "(make restore MODEL=… writes its graphs)."
        )
