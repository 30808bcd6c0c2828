"""Hit ratios of synthetic workloads of many kinds: python -m benchmarks.hitratio.wide.

Popularity by Zipf's law that stays, shifts, moves on or comes in bursts; streams and
loops beside it; sizes equal, uniform, log-normal, Pareto, of two kinds, by popularity.
Among them are kinds in which the rule for small values loses. Nothing is demanded here;
``replay.py`` does that for its cells.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import cache, partial
from statistics import NormalDist

from ..progress import progress_bar
from .replay import render, replay
from .traces import Cell, Request, quantile, zipf_draws

Law = Callable[[str], int]
"""Value size in bytes by key."""


def equal(size: int) -> Law:
    return lambda key: size


def uniform(low: int, high: int) -> Law:
    return lambda key: int(low + (high - low) * quantile(key))


def log_uniform(low: int, high: int) -> Law:
    return lambda key: int(low * (high / low) ** quantile(key))


def log_normal(median: int, sigma: float) -> Law:
    def law(key: str) -> int:
        size = median * math.exp(sigma * NormalDist().inv_cdf(quantile(key)))
        return min(max(int(size), 8), 1_000_000)

    return law


def pareto(least: int, shape: float) -> Law:
    return lambda key: min(int(least * quantile(key) ** (-1 / shape)), 1_000_000)


def two_kinds(common: int, rare: int, share: float) -> Law:
    """A share of the keys has rare values."""
    return lambda key: rare if quantile(key) < share else common


def larger_if_popular(key: str) -> int:
    return int(max(50, 100_000 / (1 + int(key)) ** 0.5))


def smaller_if_popular(key: str) -> int:
    return int(min(100_000, 50 + 4 * (int(key) + 1) ** 0.9))


def sized(keys: Callable[[], Iterable[Hashable]], law: Law) -> Iterator[Request]:
    """Yield keys and their sizes."""
    size_of = cache(law)
    for key in map(str, keys()):
        yield key, size_of(key)


def shifting(keys: int, requests: int, exponent: float, period: int) -> Iterator[int]:
    """Yield draws of which a tenth of the ranks change hands once in a period."""
    dice = random.Random(1)
    holder = list(range(keys))
    for number, rank in enumerate(zipf_draws(keys, requests, exponent)):
        if number % period == 0:
            for _ in range(keys // 20):
                one, two = dice.randrange(keys), dice.randrange(keys)
                holder[one], holder[two] = holder[two], holder[one]
        yield holder[rank]


def moving_on(keys: int, requests: int, exponent: float) -> Iterator[int]:
    """Yield keys that are popular while they are new."""
    for number, rank in enumerate(zipf_draws(keys, requests, exponent)):
        yield number // 8 - rank


def bursts(requests: int) -> Iterator[int]:
    """Yield new keys, of which some come again soon, now and then often."""
    dice = random.Random(3)
    due: list[tuple[int, int]] = []
    newest = 0
    for number in range(requests):
        if due and due[0][0] <= number:
            yield heapq.heappop(due)[1]
            continue
        newest += 1
        yield newest
        again = min(int(dice.paretovariate(1)), 20) if dice.random() < 0.4 else 0
        for _ in range(again):
            later = number + int(10 ** dice.uniform(1, 4.5))
            heapq.heappush(due, (later, newest))


def beside_loop(keys: int, requests: int, exponent: float, loop: int) -> Iterator[str]:
    """Yield draws, and after every third the next key of a loop."""
    for number, rank in enumerate(zipf_draws(keys, requests, exponent)):
        yield str(rank)
        if number % 3 == 0:
            yield f"loop:{number // 3 % loop}"


def beside_stream(popular: int, once: int) -> Iterator[Request]:
    """Yield draws whose values have one size; every fourth key has another and is asked
    for once."""
    for number, rank in enumerate(zipf_draws(20_000, 300_000, 0.9)):
        yield (f"once:{number}", once) if number % 4 == 0 else (str(rank), popular)


def alternating() -> Iterator[Request]:
    """Yield other keys of another size from time to time."""
    sizes = (100, 5000, 300, 50_000)
    for number, rank in enumerate(zipf_draws(5000, 400_000, 0.8)):
        era = number // 50_000
        yield f"{era}:{rank}", sizes[era % len(sizes)]


DRAWS = {f"zipf {e}": partial(zipf_draws, 50_000, 300_000, e) for e in (0.7, 0.9, 1.2)}
LAWS = {
    "equal": equal(500),
    "uniform": uniform(100, 10_000),
    "log-normal": log_normal(500, 1.5),
    "Pareto": pareto(500, 1.2),
    "two kinds": two_kinds(200, 30_000, 0.1),
    "log-uniform": log_uniform(10, 1_000_000),
}
OTHERS = {
    "shifting": partial(shifting, 30_000, 300_000, 0.9, 10_000),
    "moving on": partial(moving_on, 20_000, 300_000, 0.8),
    "bursts": partial(bursts, 300_000),
    "beside a loop": partial(beside_loop, 10_000, 200_000, 0.9, 4000),
}
BY_POPULARITY = {"larger": larger_if_popular, "smaller": smaller_if_popular}


def cells() -> list[Cell]:
    """Return all workloads."""
    found = [
        Cell(f"{draw}, {law}", 8, partial(sized, keys, LAWS[law]))
        for draw, keys in DRAWS.items()
        for law in LAWS
    ]
    found += [
        Cell(f"{name}, {law}", 4, partial(sized, keys, LAWS[law]))
        for name, keys in OTHERS.items()
        for law in ("equal", "log-normal", "Pareto")
    ]
    found += [
        Cell(f"zipf 0.9, {name} if popular", 16, partial(sized, DRAWS["zipf 0.9"], law))
        for name, law in BY_POPULARITY.items()
    ]
    return [
        *found,
        Cell("large asked for once", 4, partial(beside_stream, 200, 20_000)),
        Cell("small asked for once", 4, partial(beside_stream, 3000, 100)),
        Cell("alternating sizes", 4, alternating),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hitratio.wide")
    parser.add_argument("--favor", choices=("objects", "bytes"), default="objects")
    favor = parser.parse_args(argv).favor
    chosen = cells()
    results = []
    with progress_bar(len(chosen), "hit ratios", "cell") as bar:
        for cell in chosen:
            results.append(replay(cell, favor))
            bar.update()
    print(render(results))
    return 0


if __name__ == "__main__":
    main()
