"""The suites: what the gate runs, and what a soak campaign runs longer.

A command is a line of words. {python} is this interpreter; in a campaign, {seconds} is
the suite's part of the duration and {seed} the campaign's seed. Every command prints
what it did with figures and ends with a status other than 0 on any violation.

In a campaign, suites with a goal run until they have reached it, however long that
takes; the others share the duration.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Suite:
    """One line of the gate or of a campaign.

    Attributes:
        name: what --only takes.
        command: the words to run in the root of the checkout.
        share: parts of a campaign's duration; 0: it has a goal.
    """

    name: str
    command: str
    share: float = 0.0


GATE: tuple[Suite, ...] = (
    Suite("lint", "make lint"),
    Suite("c", "make test-c"),
    Suite("sanitize", "make test-sanitize"),
    Suite("kill", "make test-kill"),
    Suite("linear", "make test-linear"),
    Suite("interleave", "make test-interleave"),
    Suite("models", "make test-models"),
    Suite("instructions", "make test-instructions"),
    Suite("seeded", "make test-seeded"),
    Suite("fuzz", "make test-fuzz"),
    Suite("damage", "make test-damage"),
    Suite("servers", "make test-servers"),
    Suite("hostile", "make test-hostile"),
    Suite("famine", "make test-famine"),
    Suite("coverage", "make coverage"),
    Suite("python", "make test-py"),
)

SOAK: tuple[Suite, ...] = (
    Suite("kill", "make -C tests/kill campaign DEATHS=10000000 SEED={seed}"),
    Suite("linear", "make -C tests/linear campaign OPERATIONS=100000000 SEED={seed}"),
    Suite("fuzz", "make -C tests/fuzz campaign EXECUTIONS=100000000 SEED={seed}"),
    Suite("servers", "make soak-servers KILLS=1000 SEED={seed}"),
    Suite("models", "make models"),
    Suite("famine", "make -C tests/famine campaign"),
    Suite("damage", "make -C tests/damage campaign SECONDS={seconds} SEED={seed}", 3),
    Suite(
        "interleave",
        "make -C tests/interleave campaign SECONDS={seconds} SEED={seed}",
        1,
    ),
    Suite(
        "sanitize",
        "make -C tests/sanitize campaign SECONDS={seconds} SEED={seed}",
        0.5,
    ),
    Suite("mutants", "make mutants COUNT=10000 SECONDS={seconds} SEED={seed}", 2),
    Suite("stress", "make stress SECONDS={seconds} SEED={seed}", 1),
    Suite("hostile", "make hostile SECONDS={seconds} SEED={seed}", 1),
    Suite("never-fails", "make never-fails SECONDS={seconds}", 0.5),
)
