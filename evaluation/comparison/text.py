"""Write the comparison's tables into `docs/comparison.md`; no figure there is typed by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.acceptance import LIMITS
from evaluation.comparison.summary import FIGURES, TESTED
from harness.documents import replace_block

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "comparison.md"
BLOCK = "comparison"
ABSENT = "Not measured yet. The section [Commands](#commands) says how."
PICTURES = {
    "boxes": "Dice, Hausdorff distance and average surface distance of the images",
    "hausdorff_assd": "Hausdorff distance against average surface distance",
    "curves": "ROC and precision-recall curves of all pixels",
    "reliability": "Reliability diagram",
    "confusion": "Confusion matrices of all pixels",
    "grad_cam": "Grad-CAM maps of three drawn phantoms",
    "concentration": "Concentration of the Grad-CAM maps",
    "latency": "Accuracy against the time of a request",
}
ROBUSTNESS_SENTENCE = (
    "Degraded images: mean absolute error of the circumference over the answered images, Dice of "
    "the ellipse (0 without an answer)."
)
SMALLEST_P = 0.001
Report = Mapping[str, Any]


def to_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def to_cell(figure: Report) -> str:
    """Return mean, standard deviation and interval of a figure."""
    if figure["value"] is None:
        return "-"
    digits = 4 if 0 < abs(figure["value"]) < 1 else 2
    value, low, high = (f"{figure[name]:.{digits}f}" for name in ("value", "low", "high"))
    deviation = figure.get("standard_deviation")
    spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return f"{value}{spread} ({low} to {high})"


def to_accuracy_table(networks: Sequence[Report], answered: Report) -> str:
    """Return a table with a row for each figure and a column for each network.

    `answered` has the errors on the images that all networks answered.
    """
    rows = [
        [title, *(to_cell(each["figures"][name]) for each in networks)]
        for name, (title, _) in FIGURES.items()
    ]
    rows.append(["calibration error (ECE)", *(to_cell(each["calibration"]) for each in networks)])
    rows.append(["95 % limits of agreement, mm", *(to_limits(e["errors"]) for e in networks)])
    rows.append(to_answered_row(networks, answered))
    rows.append(["images without an answer", *(str(each["without_answer"]) for each in networks)])
    return to_table(["figure", *(each["title"] for each in networks)], rows)


def to_answered_row(networks: Sequence[Report], answered: Report) -> list[str]:
    """Return the row of the errors on the images that all networks answered."""
    common = answered["absolute_error_mm"]
    others = ", ".join(each["title"] for each in networks if each["title"] not in common)
    who = f"all but the {others}" if others else "all"
    title = f"HC absolute error on the {answered['images']} images that {who} answered, mm"
    return [
        title,
        *(to_cell(common[e["title"]]) if e["title"] in common else "-" for e in networks),
    ]


def to_limits(errors: Report) -> str:
    """Return the limits of agreement, in mm; they need two answers."""
    low, high = (errors[f"limit_of_agreement_{end}_mm"]["value"] for end in ("low", "high"))
    return "-" if low is None or high is None else f"{low:+.2f} to {high:+.2f}"


def to_p_text(p: float) -> str:
    """Return a p value; it is never printed as zero."""
    return "< 0.001" if p < SMALLEST_P else f"{p:.3f}"


def to_test_table(figure: str, tested: Report) -> str:
    """Return the table of one figure's paired tests."""
    rows = []
    for test in tested["tests"]:
        agreement = {None: "one seed", True: "yes", False: "no"}[test["seeds_agree"]]
        rows.append(
            [
                f"{test['second']} minus {test['first']}",
                str(test["exams"]),
                f"{test['mean_difference']:+.3f} ({test['low']:+.3f} to {test['high']:+.3f})",
                f"{test['cohens_d']:+.2f} ({test['d_low']:+.2f} to {test['d_high']:+.2f})",
                to_p_text(test["wilcoxon_holm_p"]),
                to_p_text(test["permutation_holm_p"]),
                "yes" if test["significant"] else "no",
                agreement,
            ]
        )
    titles = (
        "pair",
        "exams",
        "mean difference (95 % interval)",
        "Cohen's d (95 % interval)",
        "Wilcoxon, corrected p",
        "permutation, corrected p",
        "both below 0.05",
        "seeds agree",
    )
    lines = [f"**{FIGURES[figure][0]}**", to_table(titles, rows)]
    if tested["left_out"]:
        pairs = ", ".join(f"{second} and {first}" for first, second in tested["left_out"])
        lines.append(f"Not tested, because fewer than three exams have a value of both: {pairs}.")
    return "\n\n".join(lines)


def to_power_sentence(figure: str, power: Report) -> str:
    """Return a sentence on the differences that this many exams can show."""
    return (
        f"{FIGURES[figure][0]}: with {power['exams']} exams a single paired t test finds a mean "
        f"difference "
        f"of {power['detectable_difference']:.2f} in {power['power']:.0%} of cases (Cohen's d "
        f"{power['detectable_effect']:.2f}), Holm's first step one of "
        f"{power['detectable_difference_holm']:.2f} (d {power['detectable_effect_holm']:.2f})."
    )


def to_error_cell(error: Report, dice: Report, without_answer: int) -> str:
    """Return the mean absolute error, the Dice of the ellipse and the images without an answer."""
    shown = "-" if error["value"] is None else f"{error['value']:.2f} mm"
    return f"{shown}, Dice {dice['value']:.1f} %, {without_answer} without an answer"


def to_robustness_table(networks: Sequence[Report]) -> str:
    """Return a table of the errors under degradation, and of the planes of other devices."""
    rows = [
        [
            "as they are",
            *(
                to_error_cell(
                    each["figures"]["absolute_error_mm"],
                    each["figures"]["ellipse_dice"],
                    each["without_answer"],
                )
                for each in networks
            ),
        ]
    ]
    for kind in networks[0]["degraded"]:
        found = [each["degraded"][kind] for each in networks]
        cells = [
            to_error_cell(f["absolute_error_mm"], f["dice"], f["without_answer"]) for f in found
        ]
        rows.append([kind, *cells])
    for kind, found in networks[0]["planes"].items():
        if "planes" in found:
            cells = [
                f"{each['planes'][kind]['found']} found, {each['planes'][kind]['acceptable']} "
                "acceptable"
                for each in networks
            ]
            rows.append([f"{kind}, other devices ({found['planes']})", *cells])
    annotated = [each["planes"]["annotated_heads"] for each in networks]
    rows.append(
        [
            "Dice of the ellipse, annotated heads of other devices, %",
            *(to_cell(a["dice"]) for a in annotated),
        ]
    )
    ratios = [to_cell(each["circumference_ratio"]) for each in annotated]
    rows.append(["their measured circumference divided by the annotated one", *ratios])
    return to_table(["images", *(each["title"] for each in networks)], rows)


def to_cost_sentence(latency: Report | None) -> str:
    """Return a sentence on how the times and the memory were measured."""
    if latency is None:
        return "Times and memory were not measured."
    counts = [row["request_ms"]["n"] for row in latency["engines"] if row["request_ms"]]
    return (
        f"Median time of a whole request and peak memory, on {latency['machine']['cpu']} "
        f"(`{latency['command']}`). A median is over {min(counts)} to {max(counts)} requests, "
        "fewest for the slowest networks, so small differences are uncertain."
    )


def to_limits_sentence() -> str:
    """Return a sentence with the limits of `evaluation.acceptance`."""
    limits = ", ".join(f"{name.replace('_', ' ')} {limit:g}" for name, limit in LIMITS.items())
    return (
        "Differences from float32 on the calibration exams. `evaluation.acceptance` accepts an "
        f"INT8 graph that holds all limits: {limits}."
    )


def to_cost_table(networks: Sequence[Report], latency: Report | None) -> str:
    """Return a table of sizes, and of times and memory if they were measured."""
    engines: list[tuple[str, str]] = []
    measured = (
        {}
        if latency is None
        else {
            (row["model"], row["backend"], row["precision"]): row
            for row in latency["engines"]
            if row["request_ms"]
        }
    )
    for _, backend, precision in measured:
        if (backend, precision) not in engines:
            engines.append((backend, precision))
    rows = []
    for each in networks:
        model = each["facts"]["model"]
        size = model["file_bytes"].get("fp32", 0) / 1e6
        cells = [
            each["title"],
            f"{model['parameters']:,}",
            f"{model['macs'] / 1e9:.2f}",
            f"{size:.1f}",
        ]
        for engine in engines:
            row = measured.get((each["name"], *engine))
            cells.append(
                "-"
                if row is None
                else f"{row['request_ms']['p50']:.1f} ms, {row['peak_memory_mb']:.0f} MB"
            )
        rows.append(cells)
    titles = ["network", "parameters", "GMAC", "float32 file, MB", *(" ".join(e) for e in engines)]
    return to_table(titles, rows)


def to_precision_table(networks: Sequence[Report]) -> str:
    """Return a table of how far the FP16 and INT8 graphs differ from float32."""
    rows = []
    for each in networks:
        fp16 = each["facts"]["fp16_against_fp32"]
        is_answered = each["figures"]["absolute_error_mm"]["value"] is not None
        rows.append(
            [
                each["title"],
                "FP16, ONNX Runtime",
                "-",
                f"{fp16['difference_95th_percentile_mm']:.2f}" if is_answered else "-",
                f"{fp16['largest_difference_mm']:.2f}" if is_answered else "-",
                "-",
            ]
        )
        for found in each["int8"]:
            figures = found["figures"]
            rows.append(
                [
                    each["title"],
                    f"INT8, {found['model']['backend']}",
                    f"{figures['mean_absolute_error_rise_mm']:+.2f}",
                    f"{figures['difference_95th_percentile_mm']:.2f}",
                    f"{figures['largest_difference_mm']:.2f}",
                    "accepted" if all(found["within"].values()) else "refused",
                ]
            )
    titles = (
        "network",
        "graph",
        "rise of the mean absolute error, mm",
        "difference, 95th percentile, mm",
        "largest difference, mm",
        "`evaluation.acceptance`",
    )
    return to_table(titles, rows)


def to_choice_table(choice: Report) -> str:
    """Return the figures of the calibration exams, and the pairs that differ there."""
    rows = [
        [
            title,
            *(to_cell(figures[name]) for name in TESTED),
            str(choice["without_answer"][title]),
        ]
        for title, figures in choice["figures"].items()
    ]
    titles = ["network", *(FIGURES[name][0] for name in TESTED), "images without an answer"]
    lines = [to_table(titles, rows)]
    for name, tested in choice["tested"].items():
        different = [
            f"{test['second']} minus {test['first']} ({test['mean_difference']:+.2f})"
            for test in tested["tests"]
            if test["significant"]
        ]
        shown = ", ".join(different) if different else "none"
        lines.append(f"{FIGURES[name][0]}, pairs that differ after Holm's correction: {shown}.")
    return "\n\n".join(lines)


def _to_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def to_seed_table(seeds: Report) -> str:
    """Return a table of every seed."""
    rows = [
        [title, version, *(_to_text(figures[name]) for name in TESTED)]
        for title, versions in seeds.items()
        for version, figures in versions.items()
    ]
    return to_table(["network", "weights", *(FIGURES[name][0] for name in TESTED)], rows)


def to_concentration_table(report: Report) -> str:
    """Return the concentration of the Grad-CAM maps and its paired tests."""
    names = ("head_share", "head_area_share", "edge_share", "edge_area_share")
    rows = [
        [each["title"], *(to_cell(each["concentration"][name]) for name in names)]
        for each in report["networks"]
    ]
    titles = (
        "network",
        "share of the map in the head",
        "head's share of the frame",
        "share of the map in the band at the edge",
        "band's share of the frame",
    )
    lines = [to_table(titles, rows)]
    different = [
        f"{test['second']} minus {test['first']} ({test['mean_difference']:+.3f})"
        for test in report["concentration_tests"]
        if test["significant"]
    ]
    lines.append(
        "Share at the edge, pairs that differ after Holm's correction: "
        + (", ".join(different) if different else "none")
        + "."
    )
    return "\n\n".join(lines)


def to_choice_parts(choice: Report | None) -> list[str]:
    """Return the section on the calibration exams; empty if they were not measured."""
    if choice is None:
        return []
    return [
        "### Calibration exams",
        f"{choice['images']} images of {choice['exams']} exams, on which a choice would be made.",
        to_choice_table(choice),
    ]


def to_block(report: Report | None, latency: Report | None, pictures: Sequence[str]) -> str:
    """Return the Markdown of all results, or a sentence that nothing was measured yet."""
    if report is None:
        return ABSENT
    networks = report["networks"]
    data, machine = networks[0]["facts"]["data"], networks[0]["facts"]["machine"]
    engines = {
        f"{n['facts']['model']['backend']} {n['facts']['model']['precision']}" for n in networks
    }
    parts = [
        f"HC18, {report['part']}: {data['images']} images of {data['exams']} exams; "
        f"{', '.join(sorted(engines))}, on {machine['cpu']}. Mean ± standard deviation over the "
        "images; in brackets the 95 % interval from a bootstrap over exams.",
        to_accuracy_table(networks, report["answered_by_all"]),
        "### Differences",
        *(to_test_table(figure, tested) for figure, tested in report["tested"].items()),
        *(
            to_power_sentence(figure, each["power"])
            for figure, each in report["tested"].items()
            if each["power"]
        ),
        "### Seeds",
        to_seed_table(report["seeds"]),
        *to_choice_parts(report["calibration"]),
        "### Other devices and degraded images",
        ROBUSTNESS_SENTENCE,
        to_robustness_table(networks),
        "### Cost",
        to_cost_sentence(latency),
        to_cost_table(networks, latency),
        "### Reduced precision",
        to_limits_sentence(),
        to_precision_table(networks),
        "### Grad-CAM",
        to_concentration_table(report),
        "### Figures",
        *(
            f"![{PICTURES[name]}](../evaluation/results/comparison/{name}.png)"
            for name in PICTURES
            if name in pictures
        ),
    ]
    return "\n\n".join(parts)


def write_page(block: str, path: Path) -> None:
    """Write the block into the page."""
    path.write_text(replace_block(path.read_text(), BLOCK, block))
