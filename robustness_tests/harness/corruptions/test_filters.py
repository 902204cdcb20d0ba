"""The filters and layers that corruptions are made of, each against the library or the loop that it stands for."""

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("one_thread")


def fields(*shape, seed=0):
    return np.random.RandomState(seed).uniform(-1, 1, shape)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1, 2.5, 6])
def test_gaussian_filter_is_scipys_to_the_bit(sigma):
    import torch
    from scipy import ndimage

    from harness.corruptions.blur import gaussian_filter

    values = fields(2, 40, 30)
    expected = ndimage.gaussian_filter(values, (0, sigma, sigma), mode="nearest")
    assert np.array_equal(gaussian_filter(torch.from_numpy(values), sigma).numpy(), expected)


@pytest.mark.parametrize("sigma", [0, 0.5, 2.44, 19.52, 170.8])
def test_wide_gaussian_filter_is_scipys_even_beyond_the_image(sigma):
    import torch
    from scipy import ndimage

    from harness.corruptions.blur import wide_gaussian_filter

    values = fields(2, 50, 50)
    expected = ndimage.gaussian_filter(values, (0, sigma, sigma), mode="reflect", truncate=3)
    filtered = wide_gaussian_filter(torch.from_numpy(values), sigma, truncate=3.0).numpy()
    # Values and weights lie on a grid of 2**-26, and 151 weights at most meet in a value, twice.
    np.testing.assert_allclose(filtered, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("side", [3, 17, 21])
def test_filter_2d_is_scipys_correlation(side):
    import torch
    from scipy import ndimage

    from harness.corruptions.blur import filter_2d

    images = np.random.RandomState(1).randint(0, 256, (2, 1, 33, 28)).astype(np.uint8)
    kernel = fields(side, side, seed=2) / side**2
    filtered = filter_2d(torch.from_numpy(images), torch.from_numpy(kernel)).numpy()
    for image, got in zip(images[:, 0], filtered[:, 0], strict=True):
        np.testing.assert_allclose(got, ndimage.correlate(image.astype(float), kernel, mode="mirror"), atol=1e-6)


@pytest.mark.parametrize("factor", [1, 1.01, 1.25, 1.3, 2.5, 4.5])
@pytest.mark.parametrize("side", [32, 224])
def test_clipped_zoom_is_scipys(side, factor):
    import torch

    from data_fixtures.plain_corruptions import clipped_zoom as plain
    from harness.corruptions.blur import clipped_zoom

    values = fields(side, side, 1)
    zoomed = clipped_zoom(torch.from_numpy(values[..., 0])[None], factor)[0].numpy()
    np.testing.assert_allclose(zoomed, plain(values, factor)[..., 0], atol=1e-12)


@pytest.mark.parametrize(
    ("angle", "row", "column", "taps"),
    # Taps 1 and 2 at 45 degrees lie at 0.7 and 1.4 pixels in either direction, which both are taken for 1.
    [(0, 4, 2, [2]), (90, 2, 4, [2]), (180, 4, 6, [2]), (-90, 6, 4, [2]), (45, 3, 3, [1, 2])],
)
def test_a_blurred_point_lies_against_the_direction(angle, row, column, taps):
    # A pixel takes from those further along; so a point at (4, 4) shows in the pixels before it, fading.
    import torch

    from harness.corruptions.blur import directional_blur

    image = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    image[..., 4, 4] = 255
    blurred = directional_blur(image, 2, 1, [angle])[0, 0].numpy()
    weights = np.exp(-(np.arange(5.0) ** 2) / 2)
    assert blurred[4, 4] == int(255 * weights[0] / weights.sum())
    assert blurred[row, column] == int(255 * weights[taps].sum() / weights.sum())


@pytest.mark.parametrize(("delta", "iterations"), [(1, 1), (2, 1), (4, 3)])
def test_copied_from_follows_pixels_that_are_copied_one_by_one(delta, iterations):
    import torch

    from harness.corruptions.blur import copied_from

    rng = np.random.RandomState(delta)
    places = range(delta + 1, 20 - delta + 1)
    for _ in range(iterations):
        down, right = rng.randint(-delta, delta, (2, 1, len(places), len(places)))
        colours = np.arange(400).reshape(20, 20)
        for y in reversed(places):
            for x in reversed(places):
                at = (0, y - delta - 1, x - delta - 1)
                colours[y, x] = colours[y + down[at], x + right[at]]
        source = copied_from(torch.from_numpy(down), torch.from_numpy(right), places, places, (20, 20))
        assert np.array_equal(source[0].numpy(), colours)


@pytest.mark.parametrize("photons", [3, 60, 500])
def test_poisson_numbers_are_scipys_quantiles(photons):
    import torch
    from scipy import stats

    from harness.corruptions.noise import poisson

    rng = np.random.RandomState(0)
    levels = np.repeat(np.arange(256), 40).astype(np.uint8)
    uniform = np.concatenate([[0, 1 - 2**-53], rng.uniform(size=levels.size - 2)])
    rng.shuffle(uniform)
    counts = poisson(torch.from_numpy(levels), torch.from_numpy(uniform), photons).numpy()
    means = levels / 255 * photons
    assert np.all(counts[levels == 0] == 0)
    # The least k with P(at most k) > u, up to what the last bits of sums near 1 can tell.
    inside = (levels > 0) & (uniform < 1 - 1e-12)
    assert np.all(stats.poisson.cdf(counts, means)[inside] > uniform[inside] - 1e-14)
    assert np.all(stats.poisson.cdf(counts - 1, means)[inside] <= uniform[inside] + 1e-14)


@pytest.mark.parametrize("size", [30, 21, 8, 32])
def test_boxes_are_pillows_to_the_bit(size):
    import torch
    from PIL import Image

    from harness.corruptions.digital import enlarge_boxes, shrink_boxes

    levels = np.random.RandomState(0).randint(0, 256, (32, 32)).astype(np.uint8)
    small = Image.fromarray(levels).resize((size, size), Image.Resampling.BOX)
    got = shrink_boxes(torch.from_numpy(levels), size)
    assert np.array_equal(got.numpy(), np.asarray(small))
    large = small.resize((32, 32), Image.Resampling.BOX)
    assert np.array_equal(enlarge_boxes(got, 32).numpy(), np.asarray(large))


def test_colours_are_scikit_images_and_come_back():
    import torch
    from skimage import color

    from harness.corruptions.digital import hsv_to_rgb, rgb_to_hsv

    # Random ones, and those where the largest or the smallest component comes twice, or all are equal.
    levels = np.random.RandomState(0).randint(0, 256, (40, 50, 3)) / 255
    levels[:6, 0] = [[0, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [0.5, 0.5, 0.5]]
    hsv = rgb_to_hsv(torch.from_numpy(levels).permute(2, 0, 1)[None])
    assert np.array_equal(torch.stack(hsv, -1)[0].numpy(), color.rgb2hsv(levels))
    back = hsv_to_rgb(*hsv)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(back, color.hsv2rgb(color.rgb2hsv(levels)))
    np.testing.assert_allclose(back, levels, atol=1e-12)


def test_warping_by_a_whole_shift_moves_pixels_and_mirrors_the_rest():
    import torch

    from harness.corruptions.digital import warp_affine

    image = torch.arange(30.0).view(1, 1, 5, 6)
    warped = warp_affine(image, torch.tensor([[[1.0, 0, 2], [0, 1, -1]]], dtype=torch.float64))[0, 0].numpy()
    expected = np.pad(image[0, 0].numpy(), 2, mode="reflect")[3:8, 0:6]
    assert np.array_equal(warped, expected)


def test_sampling_beyond_the_edge_is_scipys():
    import torch
    from scipy import ndimage

    from harness.corruptions.digital import sample_bilinearly

    image = fields(7, 9).astype(np.float32)
    rows, columns = fields(2, 7, 9, seed=1) * 30
    rows[0, :4] = [-1, 0, 6, 7]
    expected = ndimage.map_coordinates(image.astype(float), [rows, columns], order=1, mode="reflect")
    got = sample_bilinearly(*(torch.from_numpy(each)[None] for each in (image[None], rows, columns)))
    np.testing.assert_allclose(got[0, 0].numpy(), expected, atol=1e-6)


def test_clouds_go_from_0_to_1_and_are_rougher_the_slower_they_decay():
    from harness.corruptions.draws import Draws
    from harness.corruptions.weather import plasma

    roughness = []
    for decay in (1.4, 2, 3):
        cloud = plasma(Draws("cloud", 0, ["a", "b"]), 64, decay)
        assert (cloud.amin((1, 2)) == 0).all()
        assert (cloud.amax((1, 2)) == 1).all()
        roughness.append(float(cloud.diff(dim=2).abs().mean()))
    assert roughness[0] > roughness[1] > roughness[2]


def test_frost_textures_have_the_colours_of_the_published_ones():
    # Mean and standard deviation of red, green and blue of frost1.png, frost2.png (which frost3.png repeats),
    # frost4.jpg and frost5.jpg, measured once.
    from harness.corruptions.textures import SIDE, frost_textures

    textures = frost_textures().double()
    assert textures.shape == (5, 3, SIDE, SIDE)
    means = [[77.7, 149.1, 165.7], [200.8, 205.4, 214.5], [200.8, 205.4, 214.5], [137.6, 152.8, 165.2]]
    deviations = [[26.9, 16.5, 15.3], [21.4, 22.1, 22.6], [21.4, 22.1, 22.6], [28.5, 28.5, 29.9]]
    np.testing.assert_allclose(textures.mean((2, 3)), [*means, [112.4, 123.4, 134.8]], atol=1)
    np.testing.assert_allclose(textures.std((2, 3)), [*deviations, [44.4, 43.3, 41.7]], atol=1.5)
    assert (textures[1] != textures[2]).double().mean() > 0.9
