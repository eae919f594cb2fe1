from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from training.data.examples import (
    FOREIGN_HEAD,
    LABELLED,
    NO_HEAD,
    UNLABELLED,
    Example,
    Examples,
    Mixture,
    draw_epoch,
    find_unlabelled,
    load_pool,
)
from training.data.hc18 import load_images
from training.data.planes import load_planes

PLAIN = Mixture(synthetic_share=0.0)


@pytest.fixture(scope="module")
def pool(folds_hc18_dir, folds_planes_dir, tmp_path_factory):
    images, planes = load_images(folds_hc18_dir), load_planes(folds_planes_dir)
    unlabelled = find_unlabelled(folds_hc18_dir)
    return load_pool(images, planes, unlabelled, tmp_path_factory.mktemp("cache"))


def get_items(pool, source, **options):
    examples = Examples(pool, options.pop("mixture", PLAIN), **options)
    places = [i for i, each in enumerate(pool.examples) if each.source == source]
    return [examples[i, seed] for i in places for seed in range(4)]


def test_pool_contains_every_source(pool):
    """Six labelled frames, three foreign heads, three abdomens and two unlabelled frames."""
    counts = Counter(example.source for example in pool.examples)
    assert counts == {LABELLED: 6, FOREIGN_HEAD: 3, NO_HEAD: 3, UNLABELLED: 2}


def test_plane_without_a_head_has_an_empty_mask_with_full_weight(pool):
    """Its annotation is certain, so the teacher has no weight."""
    for item in get_items(pool, NO_HEAD, annotation_weight=0.5):
        assert item["coverage"].max() == 0
        weights = [item[f"{name}_weight"].item() for name in ("annotation", "teacher")]
        assert weights == [1, 0]
        assert item["plane_label"].item() == 0


def test_foreign_head_without_a_teacher_has_a_low_weight(pool):
    """The annotated ellipse is not an exact label, but the head-plane label is certain."""
    for item in get_items(pool, FOREIGN_HEAD, foreign_weight=0.2):
        assert item["coverage"].max() == 1
        assert item["annotation_weight"].item() == pytest.approx(0.2)
        assert item["plane_label"].item() == 1


def test_pseudo_labelled_head_is_trained_on_the_teacher_only(pool):
    """Where the teacher is reliable, it is the label; other heads only train the plane output."""
    names = frozenset(each.name for each in pool.examples if each.source == UNLABELLED)
    for item in get_items(pool, UNLABELLED, pseudo_labelled=names, annotation_weight=0.5):
        assert (item["annotation_weight"].item(), item["teacher_weight"].item()) == (0, 1)
    for item in get_items(pool, FOREIGN_HEAD, pseudo_labelled=names, annotation_weight=0.5):
        assert (item["annotation_weight"].item(), item["teacher_weight"].item()) == (0, 0)
        assert item["plane_label"].item() == 1


def test_labelled_frame_shares_its_weight_with_the_teacher(pool):
    """The weights of annotation and teacher sum to 1."""
    for item in get_items(pool, LABELLED, annotation_weight=0.5):
        assert (item["annotation_weight"].item(), item["teacher_weight"].item()) == (0.5, 0.5)


def test_synthetic_pictures_are_not_head_planes(pool):
    """Crops and drawings from a labelled frame have no head and a plane label of 0."""
    for item in get_items(pool, LABELLED, mixture=replace(PLAIN, synthetic_share=1.0)):
        assert item["coverage"].max() == 0
        assert item["plane_label"].item() == 0


def test_address_is_always_the_same_example(pool):
    """Equal index and seed give equal tensors; another seed gives another picture."""
    examples = Examples(pool, PLAIN)
    first, again, other = examples[0, 5], examples[0, 5], examples[0, 6]
    for name, values in first.items():
        assert torch.equal(values, again[name])
    assert not torch.equal(first["network_input"], other["network_input"])
    assert first["network_input"].shape == first["coverage"].shape == (1, 256, 256)


def make_list():
    small = [Example(f"s{i}", LABELLED, None, 60.0) for i in range(20)]
    middle = [Example(f"m{i}", LABELLED, None, 150.0) for i in range(80)]
    planes = [Example(f"n{i}", NO_HEAD) for i in range(50)]
    return [*small, *middle, *planes, *(Example(f"f{i}", FOREIGN_HEAD) for i in range(50))]


def test_epoch_has_each_source_in_its_share_and_small_heads_more_often():
    """The 20 small frames among 100 labelled ones are drawn three times as often as others."""
    examples = make_list()
    mixture = Mixture(foreign_share=0.1, no_head_share=0.3, small_head_weight=3.0)
    drawn = draw_epoch(examples, mixture, seed=0, epoch=0)
    names = Counter(examples[index].name[0] for index, _ in drawn)
    assert names == {"s": pytest.approx(43, abs=1), "m": pytest.approx(57, abs=1), "n": 30, "f": 10}


def test_epochs_differ_and_repeat_by_seed():
    """Same seed and epoch, same addresses; over many epochs all images are drawn equally."""
    examples = make_list()
    epochs = [draw_epoch(examples, Mixture(), seed=0, epoch=epoch) for epoch in range(20)]
    assert epochs[0] == draw_epoch(examples, Mixture(), seed=0, epoch=0)
    assert epochs[0] != epochs[1]
    counts = np.bincount([index for epoch in epochs for index, _ in epoch], minlength=200)
    assert counts.min() > 0
