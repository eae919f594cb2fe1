import pytest
import torch

from training.checkpoint import NetworkRecord, load_record, load_trained, save_weights
from training.lineage import Seen
from training.networks import NETWORKS, build_network


def test_network_is_built_by_name_and_arguments():
    """The registry passes arguments on to the network."""
    network = build_network("attention-resunet", width=4, attention=False)
    assert network.width == 4
    assert network.decoder[0].gate is None


def test_unknown_network_is_refused_with_the_known_names():
    """The error lists the known networks."""
    with pytest.raises(ValueError, match=next(iter(NETWORKS))):
        build_network("no-such-network")


def test_checkpoint_restores_its_network_and_its_record(tmp_path):
    """Name, arguments, training data and outputs are the same after loading."""
    keywords = {"channels": [2, 2, 4, 4, 8], "halving_stem": True, "head_plane": True}
    record = NetworkRecord("attention-resunet", keywords, Seen(exams=(3,), groups=("Egypt",)))
    network, path = record.build().eval(), tmp_path / "weights.safetensors"
    save_weights(network, path, record=record)
    assert load_record(path) == record
    picture = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        for found, expected in zip(load_trained(path)(picture), network(picture), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
