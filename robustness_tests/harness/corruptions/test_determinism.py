"""The same image comes out the same: in any batch, order, number of threads and process, and in later versions."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from harness.metrics.corruption import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES

NAMES = CORRUPTIONS + EXTRA_CORRUPTIONS
IDS = [f"n01440764/{number}" for number in range(7)]
RANDOM = {
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "glass_blur",
    "motion_blur",
    "snow",
    "frost",
    "fog",
    "elastic_transform",
    "speckle_noise",
    "spatter",
}
# sha256, its first 16 digits, of `images(1, side)` at severities 1 and 5, at 224 and at 32 pixels. All digits change
# where any level of any pixel does: then `GENERATOR` goes up, for what is generated is another benchmark. JPEG is not
# here: what Pillow decodes depends on the library that it was built with.
PINS = {
    "gaussian_noise": (1, "7a9a236e2a753798 89ec6f108db8441b 98b69e9a2cdc3eec 6b5368a1d0600a1b"),
    "shot_noise": (1, "aff0b5fb5b909938 c25db84ca489ddc6 18069723c6dbd48d bea70e41a279d28f"),
    "impulse_noise": (1, "f3ea89759854adb7 32c723a3c59ab229 d26018dd80460ecc d946d8b997fca5b3"),
    "defocus_blur": (1, "a4b81303e45eebd8 103a9ad63b348ece e7e504b7882241ba 02689f432f95c1c8"),
    "glass_blur": (1, "1f83bbf787899b76 6f5a9ad1f1df6e41 4d572cac0f5b50dc f154f44b7712bc6e"),
    "motion_blur": (1, "3612fdb78f351250 5648ac61172c3377 1a7d00c837a4ee12 c22deaefff4b57c2"),
    "zoom_blur": (1, "3e8f666090dcd015 91b3064c7ac53f47 86d1b33e2aa63de7 0efeea130e1e1add"),
    "snow": (1, "75bbee13f434d2b9 c8b396680cce64b7 ecb268a73b16793f 92dad42198cffccc"),
    "frost": (1, "d0cbb043e30c6aef 656a6e1785ef39ad feaa93871e10689f a1f2b737cd62daa9"),
    "fog": (1, "43f4eda219d56762 2a324fd0b4ff433b 7460239b39ddc269 eea30ec91140a9fe"),
    "brightness": (1, "10dc153cea3b4c39 1b2f4f426e20b5a4 4e95e5199c978f3b eb0fd0081561a996"),
    "contrast": (1, "7a7f8a9732595800 3f1d97aefae21e1d 9b518a9df30db96e 7632135392cd09f6"),
    "elastic_transform": (1, "1c3f33efbf628398 99a501799fa1bc5b 21911529e43a8884 f760dfe893e61ece"),
    "pixelate": (1, "3cd5c06f59cb97ef 345cabeb99220a5a ec859c0914f0a9a5 430be89b2b8d5ae7"),
    "speckle_noise": (1, "38445e188b493978 e403c05b6e3f6352 f3bf9c22bb32daf9 7ac62a8baa8c6463"),
    "gaussian_blur": (1, "afd426f8b9f49e09 23d84fe0194d1636 b1d321ac27de9f36 fb3aa06f0cfc472c"),
    "spatter": (1, "f3f4595e31aa2751 8d0cd2b06dd182fe 99e738b5e969ed10 d35fb79e4553d6d7"),
    "saturate": (1, "4839a5bffc57c411 d8015d981613c1c2 6aebcaca841dd5ae 5982c60966aae413"),
}


def images(count, side=32):
    """Slopes of colour with stripes across and a white corner, uint8 (count, 3, side, side)."""
    import torch

    y, x = np.mgrid[:side, :side] * (256 // side)
    planes = [
        np.stack([x + 9 * image, y // 2 + 31 * image, (x * y // 64) ^ (image + 37)]) % 256 for image in range(count)
    ]
    levels = np.stack(planes).astype(np.uint8)
    levels[..., ::7] //= 2
    levels[:, :, : side // 4, : side // 4] = 255
    return torch.from_numpy(levels)


def corrupt_all(pixels, name, severity, ids=IDS, **options):
    from harness.corruptions import corrupt

    return corrupt(pixels, name, severity, ids, parameters=str(pixels.shape[-1]), **options)


def corrupt_as_one(pixels, name, severity, ids=IDS):
    """Corrupt a batch in one go, as devices do that aren't the CPU."""
    from harness.corruptions import FUNCTIONS
    from harness.corruptions.draws import Draws
    from harness.corruptions.parameters import PARAMETERS

    draws = Draws(f"corruption/{name}/{severity}", 0, ids)
    arguments = PARAMETERS[str(pixels.shape[-1])][name][severity - 1]
    return FUNCTIONS[name](pixels, draws, **arguments).clamp(0, 255).to(pixels.dtype)


def digest(pixels):
    return hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_its_batch_or_order(name, severity):
    import torch

    batch = images(7)
    expected = corrupt_all(batch, name, severity)
    assert torch.equal(corrupt_as_one(batch, name, severity), expected)
    order = [3, 6, 0, 5, 1, 4, 2]
    shuffled = corrupt_all(batch[order], name, severity, [IDS[place] for place in order])
    assert torch.equal(shuffled, expected[order])
    assert torch.equal(corrupt_all(batch[4:5], name, severity, IDS[4:5]), expected[4:5])


@pytest.mark.parametrize("name", NAMES)
def test_large_images_do_not_depend_on_their_batch_or_on_threads(name, request):
    import torch

    batch = images(3, 224)
    before = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    torch.set_num_threads(1)
    expected = corrupt_all(batch, name, 1, IDS[:3])
    torch.set_num_threads(3)
    assert torch.equal(corrupt_all(batch, name, 1, IDS[:3]), expected)
    assert torch.equal(corrupt_as_one(batch, name, 1, IDS[:3]), expected)


def test_images_are_the_same_in_another_process(request):
    here = {name: digest(corrupt_all(images(1), name, 3, IDS[:1])) for name in NAMES}
    script = (
        "from robustness_tests.harness.corruptions import test_determinism as test\n"
        "for name in reversed(test.NAMES):\n"
        "    print(name, test.digest(test.corrupt_all(test.images(1), name, 3, test.IDS[:1])))\n"
    )
    command = [sys.executable, "-c", script]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=request.config.rootpath).stdout
    assert dict(line.split() for line in printed.splitlines()) == here


@pytest.mark.parametrize("name", NAMES)
def test_randomness_goes_by_seed_id_and_severity_and_no_other_corruption_has_it(name):
    import torch

    batch = images(1).expand(2, -1, -1, -1).contiguous()
    first, second = corrupt_all(batch, name, 2, IDS[:2])
    again = corrupt_all(batch, name, 2, IDS[:2], seed=1)[0]
    is_random = name in RANDOM
    assert torch.equal(first, second) is not is_random
    assert torch.equal(first, again) is not is_random


def test_corruptions_and_severities_draw_other_numbers():
    from harness.corruptions.draws import Draws

    keys = [("corruption/fog/1", 0, "a"), ("corruption/fog/2", 0, "a"), ("corruption/snow/1", 0, "a")]
    keys += [("corruption/fog/1", 1, "a"), ("corruption/fog/1", 0, "b")]
    first = [float(Draws(purpose, seed, [image]).uniform()[0]) for purpose, seed, image in keys]
    assert len(set(first)) == len(keys)
    assert first == [float(Draws(purpose, seed, [image]).uniform()[0]) for purpose, seed, image in keys]


def test_draws_are_of_the_kind_that_was_asked_for():
    import torch

    from harness.corruptions.draws import Draws

    draws = Draws("kinds", 0, ["a", "b"])
    normal, uniform, whole = draws.normal(4, 5000), draws.uniform(20000, low=-2, high=3), draws.integers(-4, 4, 20000)
    assert (normal.shape, normal.dtype) == ((2, 4, 5000), torch.float64)
    # Standard errors are 1 / sqrt(40000) and sqrt(25 / 12 / 40000).
    assert abs(float(normal.mean())) < 0.03
    assert abs(float(normal.std()) - 1) < 0.03
    assert abs(float(uniform.mean()) - 0.5) < 0.04
    assert (uniform.min() >= -2) & (uniform.max() < 3)
    assert whole.unique().tolist() == list(range(-4, 4))
    assert draws.uniform().shape == (2,)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"jpeg_compression"}))
def test_pinned_output(name):
    from harness.corruptions import GENERATOR

    got = [digest(corrupt_all(images(1, side), name, severity, IDS[:1])) for side in (224, 32) for severity in (1, 5)]
    assert (GENERATOR, " ".join(got)) == PINS[name]
