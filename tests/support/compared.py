"""Compared images that were drawn by chance, with a known bias and a known width of errors."""

import numpy as np

from headcirc.agreement.rows import ComparedImage

SHA256 = "a" * 64
LEVEL = 0.9
NORMAL_90 = 1.6449
"""Half of the 90 % interval of a standard normal variable."""


def draw_compared(
    count, generator, *, offset_mm=0.0, scale=1.0, spread=1.0, images_per_exam=1, **changes
):
    """Return images whose reference is `scale` times the measured value plus an offset and noise.

    With a spread of 1, the model's own 90 % intervals hold for a model without bias.
    """
    rows = []
    for exam in range(count):
        measured_mm = generator.uniform(80, 340)
        half_mm = generator.uniform(2, 6) * measured_mm / 200
        for image in range(images_per_exam):
            noise_mm = spread * generator.normal() * half_mm / NORMAL_90
            rows.append(
                to_compared_image(
                    f"{exam}-{image}.png",
                    scale * measured_mm + offset_mm + noise_mm,
                    measured_mm,
                    half_mm,
                    exam=f"exam {exam}",
                    **changes,
                )
            )
    return rows


def to_compared_image(name, reference_mm, measured_mm, half_mm=3.0, **changes):
    """Return one image; without a measured value it is not answered."""
    is_answered = measured_mm is not None
    values = {
        "image": name,
        "exam": name,
        "operators": "",
        "reference_mm": float(reference_mm),
        "head_circumference_mm": measured_mm,
        "head_circumference_raw_mm": measured_mm,
        "head_circumference_low_mm": measured_mm - half_mm if is_answered else None,
        "head_circumference_high_mm": measured_mm + half_mm if is_answered else None,
        "level": LEVEL if is_answered else None,
        "acceptable": is_answered,
        "warnings": "",
        "error": "" if is_answered else "no head was found",
        "model_name": "m",
        "model_version": "1",
        "model_sha256": SHA256,
        "model_precision": "int8",
        "site_sha256": "",
    }
    return ComparedImage(**values | changes)


def to_coverage(rows, site):
    """Return the share of references inside the intervals that a site file gives."""
    hits = []
    for row in rows:
        half_mm = row.head_circumference_high_mm - row.head_circumference_raw_mm
        corrected_mm = site.correct(row.head_circumference_raw_mm)
        hits.append(abs(row.reference_mm - corrected_mm) <= site.interval_factor * half_mm)
    return float(np.mean(hits))
