from benchmarks.before_after import to_ratios
from benchmarks.comparison import SERVER, Compared, to_comparison_table
from benchmarks.peers import PEERS


class StubTurns:
    """Stands for a process or a client."""

    def take_turn(self, *, limit_s, most_calls):
        return [4.0, 6.0, 5.0]


def test_networks_and_server_are_rows_of_one_table():
    """Their turns are among those of the engines; a network has no request, a server no network."""
    compared = Compared({PEERS[1]: StubTurns()}, StubTurns())
    turns = compared.to_turns(limit_s=1.0, most_calls=3)
    compared.keep({name: turn() for name, turn in turns.items()} | {"another": [1.0]})
    table = to_comparison_table({"comparison": compared.to_facts()})
    assert (
        "| unet 64 (arXiv 1505.04597), torch-eager fp32 | 31.0 | 96.2 | 5.0 / 5.9 / 6.0 | - |"
        in table
    )
    assert f"| {SERVER} | - | - | - | 5.0 / 5.9 / 6.0 |" in table


def test_report_without_a_comparison_has_no_table():
    """Such as a run that left it out, or an older report."""
    assert (
        to_comparison_table({}) == to_comparison_table({"comparison": Compared().to_facts()}) == ""
    )


def test_ratios_are_shares_of_the_earlier_revision():
    sides = [
        {
            "request_ms": {"p50": 20.0 * share},
            "around_network_ms": {"p50": 8.0 * share},
            "cpu_ms_per_request": 32.0 * share,
        }
        for share in (1.0, 0.5)
    ]
    found = to_ratios(dict(zip(("before", "after"), sides, strict=True)))
    assert found == {"request_ms": 0.5, "around_network_ms": 0.5, "cpu": 0.5}
