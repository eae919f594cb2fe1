from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from headcirc.agreement.bland_altman import Axis, draw_bland_altman
from headcirc.agreement.estimates import estimate
from headcirc.agreement.reference_table import Reference
from headcirc.agreement.rows import read_rows, to_compared, write_rows
from headcirc.agreement.summary import summarise, to_advice, to_lines
from headcirc.answers import Row
from headcirc.batch.files import UsageError
from headcirc.batch.model_identity import ModelIdentity
from tests.support.compared import draw_compared, to_compared_image

SVG = "{http://www.w3.org/2000/svg}"


def test_figures_by_hand():
    """Errors of +1, +3 and -1 mm: bias 1, standard deviation 2, limits -2.92 and 4.92."""
    rows = [
        to_compared_image("a.png", 100, 101.0),
        to_compared_image("b.png", 100, 103.0, half_mm=2.0),
        to_compared_image("c.png", 30 + 10, 39.0, acceptable=False),
        to_compared_image("d.png", 100, None),
    ]
    summary = summarise(rows)
    errors = {name: each.value for name, each in summary.of_answered.errors.items()}
    assert errors == pytest.approx(
        {
            "bias_mm": 1,
            "limit_of_agreement_low_mm": 1 - 1.96 * 2,
            "limit_of_agreement_high_mm": 1 + 1.96 * 2,
            "standard_deviation_mm": 2,
            "mean_absolute_error_mm": 5 / 3,
        }
    )
    assert (summary.answered.count, summary.acceptable.count, summary.images) == (3, 2, 4)
    assert (summary.of_answered.close.count, summary.of_answered.close.total) == (3, 3)
    assert (summary.of_answered.covered.count, summary.of_acceptable.covered.count) == (2, 1)
    assert summary.of_acceptable.errors["bias_mm"].value == 2
    assert summary.level == 0.9


def test_error_of_exactly_3_percent_counts_as_close():
    rows = [to_compared_image("a.png", 100, 103.0), to_compared_image("b.png", 100, 103.1)]
    assert summarise(rows).of_answered.close.count == 1


def test_intervals_contain_the_truth():
    """About 95 of 100 intervals of the bias contain its true value of 2 mm."""
    generator = np.random.default_rng(0)
    exams, hits = np.arange(40), 0
    for _ in range(100):
        bias = estimate(generator.normal(2, 3, 40), exams, resamples=400)
        hits += bias.low <= 2 <= bias.high
    assert 86 <= hits <= 99


def test_each_operator_has_a_bias():
    """Operator A measures 2 mm less than B on the same images."""
    rows = [to_compared_image(f"{i}.png", 170, 172.0) for i in range(3)]
    references = {row.image: Reference(row.exam, {"A": 169.0, "B": 171.0}) for row in rows}
    found = {each.operator: each.bias_mm.value for each in summarise(rows, references).operators}
    assert found == {"A": 3, "B": 1}
    alone = {row.image: Reference(row.exam, {"A": 169.0}) for row in rows}
    assert summarise(rows, alone).operators == ()


def test_text_says_what_is_not_known():
    """Without any answer no figure is invented."""
    rows = [to_compared_image("a.png", 100, None)]
    text = "\n".join(to_lines(summarise(rows)))
    assert "answered 0 of 1" in text
    assert "mean absolute error             not known" in text
    assert "The model states no intervals." in to_advice(summarise(rows), rows)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"offset_mm": -4.0}, "The model measures more than you do"),
        ({"offset_mm": 4.0}, "The model measures less than you do"),
        ({"spread": 3.0}, "90% intervals do not hold here"),
        ({"spread": 0.2}, "wider than they need to be"),
        ({}, "Nothing speaks against the 90% intervals"),
        ({"scale": 10.0}, "differ by a factor of 0.1: a pixel size is wrong"),
    ],
)
def test_advice_follows_from_the_figures(given, words):
    rows = draw_compared(60, np.random.default_rng(1), **given)
    assert words in " ".join(to_advice(summarise(rows), rows))


def test_few_images_are_said_to_be_few():
    rows = draw_compared(10, np.random.default_rng(2))
    assert "Fewer than 30" in " ".join(to_advice(summarise(rows), rows))


def test_rows_survive_the_table(tmp_path):
    """All columns come back; names cannot become formulas, None stays None."""
    rows = [
        *draw_compared(3, np.random.default_rng(3)),
        to_compared_image("x.png", 123.5, None, warnings="no-head-found", operators="A; B"),
    ]
    write_rows(tmp_path / "rows.csv", rows)
    read = read_rows(tmp_path / "rows.csv")
    assert read[3] == rows[3]
    assert [row.image for row in read] == [row.image for row in rows]
    for found, expected in zip(read, rows, strict=True):
        assert found.error_mm == pytest.approx(expected.error_mm, abs=1e-3)
    header = (tmp_path / "rows.csv").read_text().splitlines()[0]
    assert header.endswith("error_mm,is_in_interval")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reference_mm", "reference", "has no column 'reference_mm'"),
        ("true", "yes", "has 'yes' as acceptable"),
        ("0.9000", "nan", "has 'nan' as level"),
        ("x.png,", "x,y.png,", "Line 2 .* more fields than there are columns"),
    ],
)
def test_edited_table_is_refused(tmp_path, old, new, message):
    path = tmp_path / "rows.csv"
    write_rows(path, [to_compared_image("x.png", 123.5, 124.0)])
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UsageError, match=message):
        read_rows(path)


def test_row_that_was_cut_is_refused(tmp_path):
    """Its last texts would be read as empty ones."""
    path = tmp_path / "rows.csv"
    write_rows(path, [to_compared_image("x.png", 123.5, 124.0)])
    header, row = path.read_text().splitlines()
    path.write_text(f"{header}\n{row.rsplit(',', 3)[0]}\n")
    with pytest.raises(UsageError, match=r"Line 2 .* no field for the column 'site_sha256'"):
        read_rows(path)


def test_measured_row_becomes_a_compared_image():
    """The interval's level is stated only where there is an interval."""
    model = ModelIdentity("m", "1", "a" * 64, "openvino", "int8", "b" * 64)
    row = Row(
        "a.png",
        head_circumference_mm=172.0,
        head_circumference_raw_mm=170.0,
        head_circumference_low_mm=168.0,
        head_circumference_high_mm=176.0,
        acceptable=True,
    )
    reference = Reference("e", {"B": 171.0, "A": 173.0})
    found = to_compared(row, reference, model, level=0.9)
    assert (found.exam, found.operators, found.reference_mm) == ("e", "A; B", 172)
    assert (found.level, found.site_sha256) == (0.9, "b" * 64)
    assert found.is_in_interval is True
    bare = replace(row, head_circumference_low_mm=None, head_circumference_high_mm=None)
    assert to_compared(bare, reference, model, level=0.9).level is None


def test_plot_shows_every_answered_image():
    """A circle for each acceptable one, a cross for the other, and one of each as legend."""
    rows = [
        *draw_compared(20, np.random.default_rng(4), offset_mm=-2.0),
        to_compared_image("r.png", 100, 110.0, acceptable=False),
        to_compared_image("n.png", 100, None),
    ]
    text = draw_bland_altman(rows, summarise(rows).of_answered.errors, title="A <b> & c")
    plot = ElementTree.fromstring(text)
    assert plot.find(f"{SVG}title").text == "A <b> & c"
    assert len(plot.findall(f".//{SVG}circle")) == 20 + 1
    crosses = [each for each in plot.iter(f"{SVG}path") if "l8 8" in each.get("d")]
    assert len(crosses) == 1 + 1
    labels = [each.text for each in plot.iter(f"{SVG}text")]
    assert any(label.startswith("bias +") for label in labels)
    assert any(label.startswith("-1.96 SD") for label in labels)


def test_plot_without_answers_is_drawn():
    rows = [to_compared_image("a.png", 100, None)]
    text = draw_bland_altman(rows, summarise(rows).of_answered.errors, title="none")
    assert ElementTree.fromstring(text).find(f"{SVG}title").text == "none"


def test_axis_places_values_and_has_round_ticks():
    axis = Axis(0.0, 10.0, 100.0, 200.0)
    assert axis.place(2.5) == 125
    assert axis.to_ticks() == [0, 2, 4, 6, 8, 10]
    assert Axis(-0.31, 0.29, 0, 1).to_ticks() == pytest.approx([-0.3, -0.2, -0.1, 0, 0.1, 0.2])
