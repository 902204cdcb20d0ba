"""Estimates that may be looked at after every image: confidence sequences for images drawn without replacement.

An interval of `harness.verdicts.estimates` errs at its level if it is looked at once. Those here hold at all looks
together, so that a claim may be judged after each chunk and drawing be stopped at will.

They are made by betting (Waudby-Smith & Ramdas, 2024, sections 4 and 5; for sampling without replacement Waudby-Smith &
Ramdas, 2020). Somebody who doubts that a mean is m or below bets on each image in turn, at odds that would be fair if
it were m. Of numbers y in [least, greatest], of which N lie in the urn, the next one's mean would then be

    m_t = (N m - sum of the t - 1 drawn) / (N - t + 1)

and staking the share s of the largest stake multiplies the wealth by 1 - s + s (y_t - least) / (m_t - least), which is
never negative and is 1 on average. So the wealth is a martingale that starts at 1, and ever reaches 1 / a with a
probability of at most a (Ville, 1939): m is refused at level a once it does. The stake that would be best is not known:
the wealth is split evenly over twelve, each half of the one before, which costs at most log 12 of log wealth and finds
the best to within a factor of sqrt 2 (a mixture over a grid, as in the first paper's section B).
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.verdicts.estimates import Estimate

Values = NDArray[np.float64]

STAKES = 2.0 ** -np.arange(12)
"""Shares of the largest stake, among which the wealth is split."""

# So many images' factors are multiplied before their logarithm is taken and the wealth is looked at.
_AT_ONCE = 16
# What rounding may leave of nothing, in numbers of the size of 1.
_ROUNDING = 1e-12
# To what share of its distance from the number an interval's end is found, to be shown or to decide by.
_SHARP, _ROUGH = 1e-3, 0.03


class Wealth(NamedTuple):
    """How somebody fared who bet.

    Attributes:
        most: Logarithm of the most that was ever held, 0 or more; infinite where what was drawn can't come from an urn
            of such a mean.
        growth: By how much the logarithm grew an image, on average, at the best of the stakes; may be negative.
    """

    most: float
    growth: float


def bet(values: Values, mean: float, *, least: float, population: int | None = None) -> Wealth:
    """Bet that the mean of an urn is greater than a number.

    Args:
        values: What was drawn, in the order in which it was drawn, shape (n,).
        mean: The number.
        least: The least value that anything in the urn can have.
        population: How many there are in the urn; None for infinitely many, or where they are put back.

    Returns:
        The wealth; if the urn's mean is `mean` or below, the most ever held reaches log(1 / a) with a probability of at
        most a.
    """
    count = len(values)
    if not count:
        return Wealth(0.0, 0.0)
    above, nothing = values - least, _ROUNDING * (1.0 + abs(least) + abs(mean))
    rooms, nothings = np.full(count, mean - least), np.full(count, nothing)
    if population is not None:
        left = population - np.arange(count)
        rooms = (population * (mean - least) - (np.cumsum(above) - above)) / left
        nothings *= population / left
    is_nothing = rooms <= nothings
    if np.any((rooms < -nothings) | (is_nothing & (above > nothings))):
        return Wealth(math.inf, math.inf)
    ratios = np.where(is_nothing, 1.0, above / np.where(is_nothing, 1.0, rooms))
    factors = 1.0 + STAKES * (ratios[:, None] - 1.0)
    whole = count // _AT_ONCE * _AT_ONCE
    steps = factors[:whole].reshape(-1, _AT_ONCE, len(STAKES)).prod(axis=1)
    if whole < count:
        steps = np.concatenate([steps, factors[whole:].prod(axis=0, keepdims=True)])
    with np.errstate(divide="ignore"):  # all that was staked may be lost
        walks = np.cumsum(np.log(steps), axis=0)
    highest = walks.max(axis=1)
    mixed = highest + np.log(np.exp(walks - highest[:, None]).mean(axis=1))
    return Wealth(max(0.0, float(mixed.max())), float(walks[-1].max()) / count)


class Drawn(Estimate):
    """An estimate from images drawn one after another, which holds at all looks.

    Its interval is all that is not refused at level alpha / 2 on either side; its ends are found when they are first
    asked for, while to hold it against a number takes one bet.

    Args:
        value: The number; may be set to another estimate of it that is rather shown, such as a mean of cells' means.
        images: How many images were drawn.
        alpha: The chance that any of its intervals is ever wrong, both tails together.
        population: From how many images it would be exact; None where it never is.
    """

    def __init__(self, value: float, images: int, alpha: float, population: int | None) -> None:
        self.value = value
        self.images = images
        self.alpha = alpha
        self.population = population

    @property
    def everything(self) -> float:
        """From how many images it would be exact, infinite where it never is."""
        return math.inf if self.population is None else self.population

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self._ends[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self._ends[1]

    def scaled(self, factor: float, shift: float = 0.0) -> "Drawn":
        """Multiply the number by a factor, not 0, and add a shift to it."""
        return self if (factor, shift) == (1, 0) else Moved(self, factor, shift)

    def is_above(self, bound: float) -> bool:
        """Whether the whole interval lies above a number."""
        return self.settles(bound, above=True)

    def is_below(self, bound: float) -> bool:
        """Whether the whole interval lies below a number."""
        return self.settles(bound, above=False)

    def is_at_least(self, bound: float) -> bool:
        """Whether the whole interval lies at a number or above it: it never ends right there."""
        return self.is_above(bound)

    def is_at_most(self, bound: float) -> bool:
        """Whether the whole interval lies at a number or below it: it never ends right there."""
        return self.is_below(bound)

    @abstractmethod
    def settles(self, bound: float, *, above: bool, among: int = 1) -> bool:
        """Tell whether it is known to lie above (or below) a number.

        Args:
            bound: The number.
            above: Whether above is asked, or below.
            among: Of how many such questions this is one: it is wrong with a chance of alpha / 2 / among at most.
        """

    @abstractmethod
    def end(self, *, above: bool, among: int = 1, sharp: float = _SHARP) -> float:
        """Find an end of its interval.

        Args:
            above: Whether the lower end is wanted, above which it is known to lie, or the upper one.
            among: As for `settles`.
            sharp: To what share of its distance from the number; where it is not quite found, it is further out.
        """

    @cached_property
    def _ends(self) -> tuple[float, float]:
        return self.end(above=True), self.end(above=False)


class _Bet(Drawn):
    """An estimate that is bet on directly; a subclass says with which numbers."""

    def settles(self, bound: float, *, above: bool, among: int = 1) -> bool:
        """Tell whether more was ever held than the question allows by chance."""
        return self._bet(bound, above=above).most >= math.log(2 * among / self.alpha)

    def needed(self, bound: float, among: int = 1) -> float:
        """Tell from how many images it would be known, from how the logarithm of the wealth grows."""
        growth = self._bet(bound, above=self.value > bound).growth
        if growth <= 0:
            return self.everything
        wanted = (math.log(2 * among / self.alpha) + math.log(len(STAKES))) / growth
        return min(self.everything, max(float(self.images), wanted))

    def end(self, *, above: bool, among: int = 1, sharp: float = _SHARP) -> float:
        """Find the number at which bets stop winning, on the way from what is just possible to the other extreme."""
        refused, other = self._possible() if above else self._possible()[::-1]
        kept = self.value
        while self.settles(kept, above=above, among=among) and abs(other - kept) > _ROUNDING:
            refused, kept = kept, (kept + other) / 2
        while abs(kept - refused) > sharp * abs(self.value - refused) + _ROUNDING:
            middle = (kept + refused) / 2
            if self.settles(middle, above=above, among=among):
                refused = middle
            else:
                kept = middle
        return refused

    @abstractmethod
    def _bet(self, bound: float, *, above: bool) -> Wealth:
        """Bet that the number lies above (or below) a bound."""

    @abstractmethod
    def _possible(self) -> tuple[float, float]:
        """Give the least and the greatest number that what was not drawn leaves possible."""


class DrawnMean(_Bet):
    """The mean of bounded numbers, one an image.

    Args:
        values: What was drawn, in the order in which it was drawn, shape (n,), n at least 1.
        bounds: The least and the greatest value that any image can have.
        alpha: Both tails together, in (0, 0.5).
        population: How many images there are, more than n; None for infinitely many.

    Raises:
        ValueError: A value lies outside the bounds, or there are no fewer values than images.
    """

    def __init__(
        self, values: Values, *, bounds: tuple[float, float], alpha: float, population: int | None = None
    ) -> None:
        _check(values, bounds, alpha, population)
        self._mean = float(values.mean())
        super().__init__(self._mean, len(values), alpha, population)
        self._values, self._bounds = values, bounds

    def _bet(self, bound: float, *, above: bool) -> Wealth:
        if above:
            return bet(self._values, bound, least=self._bounds[0], population=self.population)
        return bet(-self._values, -bound, least=-self._bounds[1], population=self.population)

    def _possible(self) -> tuple[float, float]:
        if self.population is None:
            return self._bounds
        drawn = self.images / self.population
        low, high = (drawn * self._mean + (1 - drawn) * end for end in self._bounds)
        return low, high


class DrawnShare(_Bet):
    """A share: of what counts for something, among what counts for it or against it.

    It is above b exactly if the mean of (1 - b) * hit - b * miss is above 0, which is what is bet on.

    Args:
        hits: Which images drawn count for it, in the order in which they were drawn, shape (n,).
        misses: Which of them count against it, shape (n,); an image may count as both, or as neither.
        alpha: Both tails together, in (0, 0.5).
        population: How many images there are, more than n; None for infinitely many.

    Raises:
        ValueError: No image counts, or no fewer images were drawn than there are.
    """

    def __init__(
        self, hits: NDArray[np.bool_], misses: NDArray[np.bool_], *, alpha: float, population: int | None = None
    ) -> None:
        self._hits, self._misses = hits.astype(np.float64), misses.astype(np.float64)
        _check(self._hits, (0.0, 1.0), alpha, population)
        counting = self._hits.sum() + self._misses.sum()
        if not counting:
            raise ValueError("of a share, at least one image must count")
        super().__init__(float(self._hits.sum() / counting), len(hits), alpha, population)

    def _bet(self, bound: float, *, above: bool) -> Wealth:
        if not 0 <= bound <= 1:
            return Wealth(math.inf, math.inf) if (bound < 0) == above else Wealth(0.0, -math.inf)
        values = (1 - bound) * self._hits - bound * self._misses
        if above:
            return bet(values, 0.0, least=-bound, population=self.population)
        return bet(-values, 0.0, least=bound - 1, population=self.population)

    def _possible(self) -> tuple[float, float]:
        if self.population is None:
            return 0.0, 1.0
        hits, misses, left = self._hits.sum(), self._misses.sum(), self.population - self.images
        return float(hits / (hits + misses + left)), float((hits + left) / (hits + misses + left))


class DrawnSum(Drawn):
    """A sum of numbers from separate urns, each known at its own share of alpha (the union bound).

    Args:
        parts: The numbers, each known at its share of alpha.
        alpha: Of all together.
    """

    def __init__(self, parts: Sequence[Drawn], alpha: float) -> None:
        everything = max(part.everything for part in parts)
        population = int(everything) if math.isfinite(everything) else None
        super().__init__(sum(part.value for part in parts), min(part.images for part in parts), alpha, population)
        self._parts = parts

    def settles(self, bound: float, *, above: bool, among: int = 1) -> bool:
        """Tell whether the parts' ends add up to more (or less) than a number; roughly at first, which is quicker."""
        if (self.value > bound) != above:
            return False
        *others, last = self._parts
        ends = [part.end(above=above, among=among, sharp=_ROUGH) for part in others]
        if last.settles(bound - sum(ends), above=above, among=among):
            return True
        nearer = [end + _ROUGH * (part.value - end) for part, end in zip(others, ends, strict=True)]
        if not last.settles(bound - sum(nearer), above=above, among=among):
            return False
        ends = [part.end(above=above, among=among) for part in others]
        return last.settles(bound - sum(ends), above=above, among=among)

    def needed(self, bound: float, among: int = 1) -> float:
        """Tell from how many images of each urn it would be known, as widths shrink with the root of the images."""
        distance = abs(self.value - bound)
        if not distance:
            return self.everything
        width = abs(self.value - self.end(above=self.value > bound, among=among, sharp=_ROUGH))
        return min(self.everything, self.images * max(1.0, (width / distance) ** 2))

    def end(self, *, above: bool, among: int = 1, sharp: float = _SHARP) -> float:
        """Add up the parts' ends."""
        return sum(part.end(above=above, among=among, sharp=sharp) for part in self._parts)


class Moved(Drawn):
    """A number known by another: a multiple of it, and something added.

    Args:
        inner: The other.
        factor: By what it is multiplied; not 0.
        shift: What is added then.
    """

    def __init__(self, inner: Drawn, factor: float, shift: float) -> None:
        super().__init__(factor * inner.value + shift, inner.images, inner.alpha, inner.population)
        self._inner, self._factor, self._shift = inner, factor, shift
        self.no_interval = inner.no_interval

    def settles(self, bound: float, *, above: bool, among: int = 1) -> bool:
        """Tell whether the other is known to lie on that side of what the number is for it."""
        return self._inner.settles((bound - self._shift) / self._factor, above=above == self._is_alike, among=among)

    def needed(self, bound: float, among: int = 1) -> float:
        """Tell from how many images it would be known of the other."""
        return self._inner.needed((bound - self._shift) / self._factor, among)

    def end(self, *, above: bool, among: int = 1, sharp: float = _SHARP) -> float:
        """Move an end of the other's interval."""
        return self._factor * self._inner.end(above=above == self._is_alike, among=among, sharp=sharp) + self._shift

    @property
    def _is_alike(self) -> bool:
        """Whether it grows as the other does."""
        return bool(self._factor > 0)


class Boundless(Drawn):
    """A number of which nothing is known before all images were drawn: what one of them adds has no known bound.

    Args:
        value: The number.
        images: How many images were drawn.
        population: How many images there are; None for infinitely many.
    """

    no_interval = "no interval before all images are drawn, since what one of them adds has no known bound"

    def __init__(self, value: float, images: int, population: int | None) -> None:
        super().__init__(value, images, 0.0, population)

    def settles(self, bound: float, *, above: bool, among: int = 1) -> bool:
        """Settle nothing."""
        return False

    def needed(self, bound: float, among: int = 1) -> float:
        """Ask for all images."""
        return self.everything

    def end(self, *, above: bool, among: int = 1, sharp: float = _SHARP) -> float:
        """Leave everything possible."""
        return -math.inf if above else math.inf


def _check(values: Values, bounds: tuple[float, float], alpha: float, population: int | None) -> None:
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha {alpha} is not between 0 and 0.5")
    if not len(values):
        raise ValueError("nothing was drawn")
    if not (np.isfinite(values).all() and bounds[0] <= values.min() and values.max() <= bounds[1]):
        raise ValueError(f"values from {values.min()} to {values.max()} are not all within {bounds[0]} to {bounds[1]}")
    if population is not None and len(values) >= population:
        raise ValueError(f"{len(values):,} drawn of {population:,} is all there is: the number is exact")
