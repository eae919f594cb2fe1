from tools.docs.headline import to_accuracy_rows


def to_share(count, of):
    return {"count": count, "of": of}


def test_rows_have_the_figures_of_the_report_and_how_many_images_were_measured():
    """Images without an answer count as not acceptable."""
    figures = {
        "mean_absolute_error_mm": {"value": 1.749, "low": 1.6, "high": 1.9},
        "ellipse_dice": {"value": 0.97891},
    }
    report = {
        "data": {"images": 472, "planes": 841, "available": {"images": 801, "planes": 1210}},
        "hc18": {"all": {"figures": figures}, "acceptable": to_share(450, 472)},
        "intervals": {"coverage": to_share(421, 468)},
        "planes": {
            "kinds": {"head": {"acceptable": to_share(260, 280)}},
            "other_planes": {"acceptable": to_share(1, 561)},
        },
        "targets": [{"met": True}, {"met": False}, {"met": True}],
    }
    rows = to_accuracy_rows(report)
    assert [value for _, value, _ in rows] == [
        "1.75 mm (95 % interval 1.60 to 1.90)",
        "97.89 %",
        "421 of 468",
        "22 of 472",
        "260 of 280",
        "1 of 561",
        "2 of 3",
    ]
    assert "472 of 801 HC18 images, out of fold" in rows[0][0]
    assert "841 of 1,210 planes" in rows[4][0]
