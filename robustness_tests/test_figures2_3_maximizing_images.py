"""Figures 2 and 3: images that maximize units of the penultimate layer look like their seeds, not like their units.

The figures show, of all iterates that drive a unit, the one nearest to the seed (`smallest`); what the search comes to
in the end (`final`) is asked for where the message does not rest on that choice. "Almost identical" is read as an SSIM
of at least 0.9 to the seed and 0.85 between units, and as nine tenths of the variance between images being the seed's.
A classifier with robust features should fail here (Engstrom et al., 2019).
"""

import pytest

from harness.studies.quantities import of_maximizing_images
from harness.verdicts.rules import above, higher, within

MAXIMIZED = of_maximizing_images("maximized", "units that were maximized", percent=True)
SSIM_TO_SEED = of_maximizing_images("ssim_to_seed_smallest", "SSIM of maximizing images to their seed")
BETWEEN_UNITS = of_maximizing_images("ssim_between_units_smallest", "SSIM of maximizing images of different units")
BETWEEN_SEEDS = of_maximizing_images("ssim_between_seeds_smallest", "SSIM of maximizing images from different seeds")
SEED_SHARE = {
    kind: of_maximizing_images(f"seed_share_{kind}", f"seeds' share of the variance ({kind} images)", percent=True)
    for kind in ("smallest", "final")
}

robust = pytest.mark.weakness("its features change what is seen when they are driven, as robust ones do")


@pytest.mark.claim("C12")
@pytest.mark.parametrize("quantity", [pytest.param(MAXIMIZED, id="maximized")])
def test_every_unit_is_maximized_from_every_seed(study, extreme, quantity, verdict):
    """C12: from every seed there is an image that drives the unit's softmax probability above 1 - 1e-6."""
    assert verdict(within(study.figure(quantity, extreme), 1, 0))


@pytest.mark.claim("C12")
@robust
@pytest.mark.parametrize("quantity", [pytest.param(SSIM_TO_SEED, id="ssim_to_seed")])
def test_maximizing_images_are_almost_identical_to_their_seed(study, extreme, quantity, verdict):
    """C12: maximizing images are perceptually almost identical to their seed."""
    assert verdict(above(study.figure(quantity, extreme), 0.9))


@pytest.mark.claim("C12")
@robust
@pytest.mark.parametrize("quantity", [pytest.param(BETWEEN_UNITS, id="ssim_between_units")])
def test_maximizing_images_of_different_units_are_almost_identical(study, extreme, quantity, verdict):
    """C12: maximizing images of different units are perceptually almost identical to each other."""
    assert verdict(above(study.figure(quantity, extreme), 0.85))


@pytest.mark.claim("C12")
@robust
@pytest.mark.parametrize("pair", [pytest.param((BETWEEN_UNITS, BETWEEN_SEEDS), id="ssim")])
def test_maximizing_images_differ_by_seed_more_than_by_unit(study, extreme, pair, verdict):
    """C12: images of different units from one seed are more alike than images of one unit from different seeds.

    By an SSIM of at least 0.5.
    """
    assert verdict(higher(study.across(*pair, extreme), by=0.5))


@pytest.mark.claim("C12")
@robust
@pytest.mark.parametrize("quantity", [pytest.param(quantity, id=kind) for kind, quantity in SEED_SHARE.items()])
def test_maximizing_images_are_explained_by_their_seed(study, extreme, quantity, verdict):
    """C12: the seed explains at least nine tenths of the variance between maximizing images."""
    assert verdict(above(study.figure(quantity, extreme), 0.9))
