"""What each corruption does at each severity: two tables, for 224 x 224 and for 32 x 32 pixels.

Sources: `make_imagenet_c.py` and `make_cifar_c.py`, by the authors of Hendrycks and Dietterich 2019. Keys are the
arguments of the corruption's function.
"""

from collections.abc import Mapping, Sequence

Parameters = Mapping[str, float]

SIDES = {"224": 224, "32": 32}
"""The parameter sets, and the side in pixels of the images that each is for."""


def _table(names: str, *rows: Sequence[float] | float) -> tuple[Parameters, ...]:
    """Name the parameters of five severities."""
    return tuple(dict(zip(names.split(), row if isinstance(row, Sequence) else (row,), strict=True)) for row in rows)


_SNOW = "mean deviation zoom threshold radius sigma share"
_SPATTER = "mean deviation sigma threshold strength mud"

PARAMETERS: Mapping[str, Mapping[str, tuple[Parameters, ...]]] = {
    "224": {
        "gaussian_noise": _table("sigma", 0.08, 0.12, 0.18, 0.26, 0.38),
        "shot_noise": _table("photons", 60, 25, 12, 5, 3),
        "impulse_noise": _table("share", 0.03, 0.06, 0.09, 0.17, 0.27),
        "defocus_blur": _table("radius alias_blur", (3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "glass_blur": _table("sigma delta iterations", (0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "motion_blur": _table("radius sigma", (10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "zoom_blur": _table("stop step", (1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        "snow": _table(
            _SNOW,
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        "frost": _table(
            "image_share frost_share stride", (1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)
        ),
        "fog": _table("strength decay", (1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "brightness": _table("increase", 0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": _table("factor", 0.4, 0.3, 0.2, 0.1, 0.05),
        # 244, where 224 was meant: so it is published.
        "elastic_transform": _table(
            "alpha sigma affine",
            (244 * 2, 244 * 0.7, 244 * 0.1),
            (244 * 2, 244 * 0.08, 244 * 0.2),
            (244 * 0.05, 244 * 0.01, 244 * 0.02),
            (244 * 0.07, 244 * 0.01, 244 * 0.02),
            (244 * 0.12, 244 * 0.01, 244 * 0.02),
        ),
        "pixelate": _table("share", 0.6, 0.5, 0.4, 0.3, 0.25),
        "jpeg_compression": _table("quality", 25, 18, 15, 10, 7),
        "speckle_noise": _table("sigma", 0.15, 0.2, 0.35, 0.45, 0.6),
        "gaussian_blur": _table("sigma", 1, 2, 3, 4, 6),
        "spatter": _table(
            _SPATTER,
            (0.65, 0.3, 4, 0.69, 0.6, False),
            (0.65, 0.3, 3, 0.68, 0.6, False),
            (0.65, 0.3, 2, 0.68, 0.5, False),
            (0.65, 0.3, 1, 0.65, 1.5, True),
            (0.67, 0.4, 1, 0.65, 1.5, True),
        ),
        "saturate": _table("factor increase", (0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    },
    "32": {
        "gaussian_noise": _table("sigma", 0.04, 0.06, 0.08, 0.09, 0.10),
        "shot_noise": _table("photons", 500, 250, 100, 75, 50),
        "impulse_noise": _table("share", 0.01, 0.02, 0.03, 0.05, 0.07),
        "defocus_blur": _table("radius alias_blur", (0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "glass_blur": _table(
            "sigma delta iterations", (0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)
        ),
        "motion_blur": _table("radius sigma", (6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "zoom_blur": _table("stop step", (1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "snow": _table(
            _SNOW,
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "frost": _table(
            "image_share frost_share stride", (1, 0.2, 5), (1, 0.3, 5), (0.9, 0.4, 5), (0.85, 0.4, 5), (0.75, 0.45, 5)
        ),
        "fog": _table("strength decay", (0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "brightness": _table("increase", 0.05, 0.1, 0.15, 0.2, 0.3),
        "contrast": _table("factor", 0.75, 0.5, 0.4, 0.3, 0.15),
        "elastic_transform": _table(
            "alpha sigma affine",
            (0, 0, 32 * 0.08),
            (32 * 0.05, 32 * 0.2, 32 * 0.07),
            (32 * 0.08, 32 * 0.06, 32 * 0.06),
            (32 * 0.1, 32 * 0.04, 32 * 0.05),
            (32 * 0.1, 32 * 0.03, 32 * 0.03),
        ),
        "pixelate": _table("share", 0.95, 0.9, 0.85, 0.75, 0.65),
        "jpeg_compression": _table("quality", 80, 65, 58, 50, 40),
        "speckle_noise": _table("sigma", 0.06, 0.1, 0.12, 0.16, 0.2),
        "gaussian_blur": _table("sigma", 0.4, 0.6, 0.7, 0.8, 1),
        "spatter": _table(
            _SPATTER,
            (0.62, 0.1, 0.7, 0.7, 0.5, False),
            (0.65, 0.1, 0.8, 0.7, 0.5, False),
            (0.65, 0.3, 1, 0.69, 0.5, False),
            (0.65, 0.1, 0.7, 0.69, 0.6, True),
            (0.65, 0.1, 0.5, 0.68, 0.6, True),
        ),
        "saturate": _table("factor increase", (0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    },
}
"""By parameter set and corruption, the arguments at severities 1 to 5."""
