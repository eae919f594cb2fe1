"""Train the head-plane output of a network whose other weights stay as they are.

`python -m training.train_plane_head --weights FILE --hc18 DIR --planes DIR --out DIR` computes the
features of all images once, with the encoder alone, fits a logistic regression to them, and writes
`weights.safetensors` with the fitted output and `held_out.csv`: the probability of each image from
the fit on the other four folds. Masks do not change by a bit, which training both outputs together
does not promise.

The features are the means of the bottleneck. With `--maxima` they are means and maxima of the
encoder's last level and of the bottleneck, which tell planes apart better.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from training.checkpoint import (
    NetworkRecord,
    load_record,
    load_trained,
    save_weights,
    to_file_sha256,
)
from training.data.examples import (
    LABELLED,
    NO_HEAD,
    Examples,
    Mixture,
    Pool,
    find_unlabelled,
    load_pool,
)
from training.data.folds import FOLDS, Folds
from training.data.hc18 import HC18_KIND, HC18Image, load_images
from training.data.planes import HEAD, Plane, load_planes
from training.lineage import Seen
from training.networks.attention_resunet import AttentionResUNet
from training.pseudo_labels import to_plain_input
from training.train_fold import WEIGHTS_NAME

ROWS_NAME = "held_out.csv"
MEANS_PENALTY, MAXIMA_PENALTY = 0.1, 0.005
"""Inverse strength of the L2 penalty on weights of standardised features, for each set of them.
With 1.0 for the means, the output of the INT8 graph differs from float32 by up to 0.08 and is no
better. With 0.02 for the maxima it is better, but differs by up to 0.15: its gate allows 0.1."""
SOURCE_WEIGHTS = {LABELLED: 1.0, "foreign-head": 1.0, NO_HEAD: 2.0, "unlabelled": 0.5}
"""Share of each source in the loss, whatever its number of images."""


@dataclass(frozen=True)
class Features:
    """Features and labels of images.

    Attributes
    ----------
    values : (n, features) float32
        What the network's `pool_plane_features` returns.
    is_head : (n,) bool
    indices : (n,) int
        Place of the image in its pool.
    is_plain : (n,) bool
        Whether the image was not augmented.
    """

    values: NDArray[np.float32]
    is_head: NDArray[np.bool_]
    indices: NDArray[np.int64]
    is_plain: NDArray[np.bool_]


@torch.no_grad()
def compute_features(network: AttentionResUNet, pool: Pool, *, looks: int) -> Features:
    """Compute the features of all images as they are, and of `looks` augmented ones of each."""
    examples = Examples(pool, Mixture())
    values, labels, indices, plain = [], [], [], []
    for look in range(looks + 1):
        for index in tqdm(range(len(pool.examples)), f"look {look}", mininterval=30):
            if look == 0:
                network_input = torch.from_numpy(to_plain_input(pool.canvases[index]))
                is_head = pool.examples[index].is_head_plane
            else:
                item = examples[index, look]
                network_input, is_head = item["network_input"][None], bool(item["plane_label"])
            encoded = network.encode(network_input.contiguous(memory_format=torch.channels_last))
            values.append(network.pool_plane_features(*encoded)[0].numpy())
            labels.append(is_head)
            indices.append(index)
            plain.append(look == 0)
    return Features(np.stack(values), np.array(labels), np.array(indices), np.array(plain))


def fit(
    features: Features, sources: NDArray[np.str_], chosen: NDArray[np.bool_], *, penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Fit a logistic regression to chosen rows, and return its weights (features,) and bias.

    Parameters
    ----------
    features : Features
    sources : (n,) str
        Source of each row, one of `SOURCES`.
    chosen : (n,) bool
    penalty : float
        Inverse strength of the L2 penalty on weights of standardised features.
    """
    weights = np.zeros(len(sources))
    for source, share in SOURCE_WEIGHTS.items():
        rows = chosen & (sources == source)
        weights[rows] = share / max(1, rows.sum())
    scaler = StandardScaler().fit(features.values[chosen])
    model = LogisticRegression(C=penalty, max_iter=2000)
    scale = weights[chosen] * chosen.sum() / weights.sum()
    model.fit(scaler.transform(features.values[chosen]), features.is_head[chosen], scale)
    direction = model.coef_[0] / scaler.scale_
    return direction, float(model.intercept_[0] - direction @ scaler.mean_)


def to_probabilities(
    values: NDArray[np.float32], direction: NDArray[np.float64], bias: float
) -> NDArray[np.float64]:
    """Return the (n,) probabilities of a head plane."""
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-(values @ direction + bias)))
    return probabilities


def to_held_out(
    features: Features, sources: NDArray[np.str_], folds: NDArray[np.int64], *, penalty: float
) -> NDArray[np.float64]:
    """Return each row's probability from the fit on the rows of other folds.

    Parameters
    ----------
    features : Features
    sources, folds : (n,) str, (n,) int
        Source and fold of each row.
    penalty : float
        See `fit`.
    """
    probabilities = np.full(len(sources), np.nan)
    for fold in range(FOLDS):
        held_out = folds == fold
        direction, bias = fit(features, sources, ~held_out, penalty=penalty)
        probabilities[held_out] = to_probabilities(features.values[held_out], direction, bias)
    return probabilities


def to_fold_numbers(items: Sequence[HC18Image | Plane], unlabelled: int) -> NDArray[np.int64]:
    """Return the fold that holds out each item, and -1 for each unlabelled frame."""
    folds = Folds()
    numbers = [next(f for f in range(FOLDS) if folds.is_held_out(item, f)) for item in items]
    return np.array([*numbers, *[-1] * unlabelled])


def train_plane_head(
    weights_path: Path,
    hc18_dir: Path,
    planes_dir: Path,
    out_dir: Path,
    *,
    looks: int,
    has_maxima: bool,
) -> None:
    """Write the weights with a head-plane output, and the out-of-fold probabilities."""
    cv2.setNumThreads(0)
    images, planes = load_images(hc18_dir), load_planes(planes_dir)
    unlabelled = find_unlabelled(hc18_dir)
    pool = load_pool(images, planes, unlabelled, out_dir / "cache")
    seen = Seen.of_items([*images, *planes], is_with_unlabelled=True)
    taught, record = to_untaught(weights_path, seen, has_maxima=has_maxima)
    features = compute_features(taught, pool, looks=looks)
    sources = np.array([pool.examples[i].source for i in features.indices])
    folds = to_fold_numbers([*images, *planes], len(unlabelled))[features.indices]
    penalty = MAXIMA_PENALTY if has_maxima else MEANS_PENALTY
    probabilities = to_held_out(features, sources, folds, penalty=penalty)
    kinds = [HC18_KIND] * len(images) + [plane.kind for plane in planes]
    _write_rows(out_dir / ROWS_NAME, pool, kinds, probabilities[: len(kinds)])
    everything = np.ones(len(sources), np.bool_)
    direction, bias = fit(features, sources, everything, penalty=penalty)
    with torch.no_grad():
        taught.plane_head.weight.copy_(torch.from_numpy(direction)[None])
        taught.plane_head.bias.fill_(bias)
    save_weights(taught, out_dir / WEIGHTS_NAME, record=record)
    for line in summarise(kinds, probabilities[: len(kinds)]):
        print(line)


def to_untaught(
    weights_path: Path, seen: Seen, *, has_maxima: bool
) -> tuple[AttentionResUNet, NetworkRecord]:
    """Return the network of a checkpoint with an untrained head-plane output, and its record.

    A head-plane output of the checkpoint is dropped. `seen` is what the new output is trained on.
    """
    record = load_record(weights_path)
    keywords = record.keywords | {"head_plane": True, "plane_maxima": has_maxima}
    seen = seen.joined(record.seen or Seen(), to_file_sha256(weights_path))
    judging = replace(record, keywords=keywords, seen=seen)
    weights = load_trained(weights_path).state_dict()
    kept = {name: each for name, each in weights.items() if not name.startswith("plane_head.")}
    network = judging.build()
    network.load_state_dict(kept, strict=False)
    return network.to(memory_format=torch.channels_last).eval(), judging


def _write_rows(path: Path, pool: Pool, kinds: list[str], probabilities: NDArray) -> None:
    with path.open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "kind", "head_circumference_mm", "head_plane_probability"])
        for example, kind, probability in zip(pool.examples, kinds, probabilities, strict=False):
            true_mm = example.head_circumference_mm  # only of HC18's labelled images
            size = "" if true_mm is None else f"{true_mm:.2f}"
            writer.writerow([example.name, kind, size, f"{probability:.4f}"])


def summarise(kinds: Sequence[str], probabilities: NDArray[np.float64]) -> list[str]:
    """Return a line for each kind of plane: how many images are below some probabilities."""
    lines, limits = [], (0.1, 0.3, 0.5, 0.7)
    for kind in dict.fromkeys(kinds):
        of_kind = probabilities[np.array(kinds) == kind]
        shares = ", ".join(f"{100 * (of_kind < each).mean():.1f} % below {each}" for each in limits)
        called = "heads" if kind in {HC18_KIND, HEAD} else "no heads"
        lines.append(f"{kind} ({called}, {len(of_kind)}): {shares}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train_plane_head", description=__doc__
    )
    parser.add_argument("--weights", type=Path, required=True, help="weights of the network")
    parser.add_argument("--hc18", type=Path, required=True, help="HC18's folder")
    parser.add_argument("--planes", type=Path, required=True, help="folder of the planes")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--looks", type=int, default=1, help="augmented looks per image")
    parser.add_argument(
        "--maxima",
        action="store_true",
        help="use means and maxima of two levels, not the bottleneck's means alone",
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    chosen.out.mkdir(parents=True, exist_ok=True)
    train_plane_head(
        chosen.weights,
        chosen.hc18,
        chosen.planes,
        chosen.out,
        looks=chosen.looks,
        has_maxima=chosen.maxima,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
