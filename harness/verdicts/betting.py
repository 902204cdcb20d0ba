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
Counts = tuple[NDArray[np.bool_], NDArray[np.bool_]]

STAKES = 2.0 ** -np.arange(12)
"""Shares of the largest stake, among which the wealth is split."""

# How much oftener one of a pair of shares may count for the multiple of the other that is bet against it.
_MOST_PAIRED = 1.25
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


def log_wealth_wanted(alpha: float, among: float = 1) -> float:
    """Give how far the logarithm of the wealth at the best stake must grow to settle a question.

    Args:
        alpha: Of the interval, both tails together.
        among: Of how many such questions, which are only right together, it is one.
    """
    return math.log(2 * among / alpha) + math.log(len(STAKES))


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
    def settles(self, bound: float, *, above: bool, among: float = 1) -> bool:
        """Tell whether it is known to lie above (or below) a number.

        Args:
            bound: The number.
            above: Whether above is asked, or below.
            among: Of how many such questions this is one: it is wrong with a chance of alpha / 2 / among at most.
        """

    @abstractmethod
    def end(self, *, above: bool, among: float = 1, sharp: float = _SHARP) -> float:
        """Find an end of its interval.

        Args:
            above: Whether the lower end is wanted, above which it is known to lie, or the upper one.
            among: As for `settles`.
            sharp: To what share of its distance from the number; where it is not quite found, it is further out.
        """

    def _between(self, refused: float, kept: float, number: float, sharp: float, *, above: bool, among: float) -> float:
        """Halve the way from what is refused to what is not, until that is a small part of the way to the number."""
        while abs(kept - refused) > sharp * abs(number - refused) + _ROUNDING:
            middle = (kept + refused) / 2
            if self.settles(middle, above=above, among=among):
                refused = middle
            else:
                kept = middle
        return refused

    @cached_property
    def _ends(self) -> tuple[float, float]:
        return self.end(above=True), self.end(above=False)


class _Bet(Drawn):
    """An estimate that is bet on directly; a subclass says with which numbers."""

    def settles(self, bound: float, *, above: bool, among: float = 1) -> bool:
        """Tell whether more was ever held than the question allows by chance, or what was drawn leaves no other way."""
        least, greatest = self._possible()
        if bound < least if above else bound > greatest:
            return True
        return self._bet(bound, above=above).most >= math.log(2 * among / self.alpha)

    def needed(self, bound: float, among: float = 1) -> float:
        """Tell from how many images it would be known, from how the logarithm of the wealth grows."""
        growth = self._bet(bound, above=self.value > bound).growth
        if growth <= 0:
            return self.everything
        return min(self.everything, max(float(self.images), log_wealth_wanted(self.alpha, among) / growth))

    def end(self, *, above: bool, among: float = 1, sharp: float = _SHARP) -> float:
        """Find the number at which bets stop winning, on the way from what is just possible to the other extreme."""
        refused, other = self._possible() if above else self._possible()[::-1]
        kept = self.value
        while self.settles(kept, above=above, among=among) and abs(other - kept) > _ROUNDING:
            refused, kept = kept, (kept + other) / 2
        return self._between(refused, kept, self.value, sharp, above=above, among=among)

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


class DrawnShareDifference(Drawn):
    """The difference of two shares of the same images, first minus second, paired image by image.

    That it is d or less, while the second share is b, means that (1 - b - d) * hit - (b + d) * miss of the first has a
    mean of 0 or less, and (1 - b) * hit - b * miss of the second one of 0; so k times the second taken from the first
    has a mean of 0 or less, for any k. On that being more is bet, with a k at which the b that is not known matters
    little. What b the second share is known not to be, at a tenth of the chance of error, is left out. At each stake
    the wealth is a product of what is linear in b, so that between two b it is at least what it is at one of them: with
    both ends of what is left, all in between is refused.

    Args:
        first: Hits and misses of one classifier, as of `DrawnShare`, each of shape (n,).
        second: Those of the other, on the same images.
        alpha: Both tails together, in (0, 0.5).
        population: How many images there are, more than n; None for infinitely many.

    Raises:
        ValueError: As `DrawnShare`.
    """

    _NUISANCE = 0.1

    def __init__(self, first: Counts, second: Counts, *, alpha: float, population: int | None = None) -> None:
        self._counts = [tuple(each.astype(np.float64) for each in counts) for counts in (first, second)]
        self._alone = [DrawnShare(*counts, alpha=alpha, population=population) for counts in (first, second)]
        difference = self._alone[0].value - self._alone[1].value
        super().__init__(difference, len(first[0]), alpha, population)
        self._difference = difference
        self._known: dict[tuple[int, bool, float], float] = {}

    def settles(self, bound: float, *, above: bool, among: float = 1) -> bool:
        """Tell whether the difference is refused with every value that the other share may have."""
        if (self._difference > bound) != above:
            return False
        return self._most(bound, above=above, among=among) >= self._wanted(among)

    def needed(self, bound: float, among: float = 1) -> float:
        """Tell from how many images it would be known, if the logarithm of the wealth grows as it did."""
        if self._difference == bound:
            return self.everything
        most = self._most(bound, above=self._difference > bound, among=among)
        return min(self.everything, self.images * max(1.0, self._wanted(among) / most)) if most > 0 else self.everything

    def end(self, *, above: bool, among: float = 1, sharp: float = _SHARP) -> float:
        """Find the difference at which bets stop winning."""
        refused = -1.0 if above else 1.0
        return self._between(refused, self._difference, self._difference, sharp, above=above, among=among)

    def _wanted(self, among: float) -> float:
        return math.log(2 * among / self.alpha / (1 - self._NUISANCE))

    def _most(self, bound: float, *, above: bool, among: float) -> float:
        """Give the logarithm of the most ever held, whatever the other share, against its lying on the other side."""
        one, other = self._counts if above else self._counts[::-1]
        difference = bound if above else -bound
        # Half of what is left out lies on either side.
        share = 2 * among / self._NUISANCE
        ends = [self._nuisance(1 if above else 0, above=side, share=share) for side in (True, False)]
        values = [(_against(one, end + difference), _against(other, end)) for end in ends]
        rooms = [
            max(abs(end + difference), abs(1 - end - difference)) + _MOST_PAIRED * max(end, 1 - end) for end in ends
        ]
        # As often as the one counts the other does: what the other share is matters least then.
        counted = [np.cumsum(counts[0] + counts[1]) - counts[0] - counts[1] + 1 for counts in (one, other)]
        paired = np.clip(counted[0] / counted[1], 1 / _MOST_PAIRED, _MOST_PAIRED)
        return _most_between(values, paired, max(rooms), self.population)

    def _nuisance(self, place: int, *, above: bool, share: float) -> float:
        key = place, above, share
        if key not in self._known:
            self._known[key] = self._alone[place].end(above=above, among=share, sharp=_ROUGH)
        return self._known[key]


class DrawnSum(Drawn):
    """A sum of numbers from separate urns, each known at its own share of alpha (the union bound).

    Args:
        parts: The numbers, each known at its share of alpha.
        alpha: Of all together.
    """

    def __init__(self, parts: Sequence[Drawn], alpha: float) -> None:
        everything = max(part.everything for part in parts)
        population = int(everything) if math.isfinite(everything) else None
        self._parts, self._sum = parts, sum(part.value for part in parts)
        super().__init__(self._sum, min(part.images for part in parts), alpha, population)

    def settles(self, bound: float, *, above: bool, among: float = 1) -> bool:
        """Tell whether the parts' ends add up to more (or less) than a number; roughly at first, which is quicker."""
        if (self._sum > bound) != above:
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

    def needed(self, bound: float, among: float = 1) -> float:
        """Tell from how many images of each urn it would be known, as widths shrink with the root of the images."""
        distance = abs(self.value - bound)
        if not distance:
            return self.everything
        width = abs(self.value - self.end(above=self.value > bound, among=among, sharp=_ROUGH))
        return min(self.everything, self.images * max(1.0, (width / distance) ** 2))

    def end(self, *, above: bool, among: float = 1, sharp: float = _SHARP) -> float:
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

    def settles(self, bound: float, *, above: bool, among: float = 1) -> bool:
        """Tell whether the other is known to lie on that side of what the number is for it."""
        return self._inner.settles((bound - self._shift) / self._factor, above=above == self._is_alike, among=among)

    def needed(self, bound: float, among: float = 1) -> float:
        """Tell from how many images it would be known of the other."""
        return self._inner.needed((bound - self._shift) / self._factor, among)

    def end(self, *, above: bool, among: float = 1, sharp: float = _SHARP) -> float:
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

    def settles(self, bound: float, *, above: bool, among: float = 1) -> bool:
        """Settle nothing."""
        return False

    def needed(self, bound: float, among: float = 1) -> float:
        """Ask for all images."""
        return self.everything

    def end(self, *, above: bool, among: float = 1, sharp: float = _SHARP) -> float:
        """Leave everything possible."""
        return -math.inf if above else math.inf


def _against(counts: Sequence[Values], share: float) -> Values:
    """Give what images say of a share: their mean is 0 if it is that."""
    return (1 - share) * counts[0] - share * counts[1]


def _most_between(
    values: Sequence[tuple[Values, Values]], paired: Values, room: float, population: int | None
) -> float:
    """Bet on one number less a multiple of another, both being linear in something that is not known.

    Args:
        values: At each end of what is not known, the numbers of each image, shapes (n,): the first have a mean of 0 or
            less, and the second of 0, if that is what is not known.
        paired: The multiple, chosen before the image was seen, shape (n,).
        room: The greatest size of the one less the multiple of the other.
        population: How many images there are; None for infinitely many.

    Returns:
        Logarithm of the most that was ever held at any value of what is not known: stake by stake, the least at its
        ends.
    """
    count, stakes = len(paired), STAKES / room
    left = np.inf if population is None else population - np.arange(count)
    moves = [one - paired * other for one, other in values]
    means = [-(np.cumsum(one) - one - paired * (np.cumsum(other) - other)) / left for one, other in values]
    # Who might lose more than there is stops betting for good, before the image is seen, at both ends alike.
    may_bet = np.logical_and.reduce([stakes * (mean[:, None] + room) <= 1 for mean in means])
    going = np.logical_and.accumulate(may_bet, axis=0)
    walks = []
    for move, mean in zip(moves, means, strict=True):
        with np.errstate(divide="ignore"):
            walks.append(np.cumsum(np.log(np.where(going, 1 + stakes * (move - mean)[:, None], 1.0)), axis=0))
    least = np.minimum.reduce(walks)
    highest = least.max(axis=1)
    mixed = highest + np.log(np.exp(least - highest[:, None]).mean(axis=1))
    return max(0.0, float(mixed.max()))


def _check(values: Values, bounds: tuple[float, float], alpha: float, population: int | None) -> None:
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha {alpha} is not between 0 and 0.5")
    if not len(values):
        raise ValueError("nothing was drawn")
    if not np.isfinite(bounds).all():
        raise ValueError(f"bounds {bounds[0]} to {bounds[1]} are not finite: nothing could be bet")
    if not (np.isfinite(values).all() and bounds[0] <= values.min() and values.max() <= bounds[1]):
        raise ValueError(f"values from {values.min()} to {values.max()} are not all within {bounds[0]} to {bounds[1]}")
    if population is not None and len(values) >= population:
        raise ValueError(f"{len(values):,} drawn of {population:,} is all there is: the number is exact")
