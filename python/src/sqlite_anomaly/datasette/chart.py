"""A chart of detections by time and label: what its bars are, and where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

WIDTH, HEIGHT = 960, 240
LEFT, RIGHT, TOP, BOTTOM = 48, 30, 10, 28
MOST_BARS = 100
MOST_NAMES = 7


@dataclass(frozen=True)
class Unit:
    """How long a time one bar stands for."""

    name: str
    form: str
    step: timedelta
    longest: timedelta


# No month is shorter than the step of 28 days, so that none is left out.
UNITS = [
    Unit("minute", "%Y-%m-%d %H:%M", timedelta(minutes=1), timedelta(minutes=90)),
    Unit("hour", "%Y-%m-%d %H:00", timedelta(hours=1), timedelta(days=3)),
    Unit("day", "%Y-%m-%d", timedelta(days=1), timedelta(days=92)),
    Unit("month", "%Y-%m", timedelta(days=28), timedelta(days=8 * 365)),
    Unit("year", "%Y", timedelta(days=28), timedelta.max),
]


@dataclass(frozen=True)
class Segment:
    """The part of a bar that is of one label."""

    label: str
    count: int
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """The detections of one time."""

    name: str
    x: float
    width: float
    segments: list[Segment]
    is_named: bool

    @property
    def total(self) -> int:
        """How many they are."""
        return sum(segment.count for segment in self.segments)

    def count(self, label: str) -> int:
        """How many of them are of one label."""
        return sum(segment.count for segment in self.segments if segment.label == label)


@dataclass(frozen=True)
class Tick:
    """A line across the chart."""

    value: int
    y: float


@dataclass(frozen=True)
class Chart:
    """All that the template draws."""

    unit: Unit
    labels: list[str]
    bars: list[Bar]
    ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM

    def total(self, label: str) -> int:
        """How many detections are of one label."""
        return sum(bar.count(label) for bar in self.bars)


def unit_of(first: datetime, last: datetime) -> Unit:
    """The unit that makes neither too many bars nor too few."""
    return next(unit for unit in UNITS if last - first <= unit.longest)


def chart(unit: Unit, first: datetime, last: datetime, counts: Iterable[tuple[str, str, int]]) -> Chart:
    """The chart of counts, each of a time in the unit's form and a label."""
    by_time: dict[str, dict[str, int]] = {}
    for time, label, count in counts:
        by_time.setdefault(time, {})[label] = count
    names = list(_times(unit, first, last))
    names = sorted({*names, *by_time} if len(names) <= MOST_BARS else by_time)
    labels = sorted({label for labels in by_time.values() for label in labels})
    highest = max(sum(labels.values()) for labels in by_time.values())
    step = _tick(highest)
    top = -(-highest // step) * step
    slot = (WIDTH - LEFT - RIGHT) / len(names)
    width = min(slot * 0.8, 80)
    every = -(-len(names) // MOST_NAMES)
    bars = [
        Bar(
            name=name,
            x=round(LEFT + (index + 0.5) * slot - width / 2, 1),
            width=round(width, 1),
            segments=list(_segments(labels, by_time.get(name, {}), top)),
            is_named=index % every == 0,
        )
        for index, name in enumerate(names)
    ]
    return Chart(unit, labels, bars, [Tick(value, _y(value, top)) for value in range(0, top + 1, step)])


def _times(unit: Unit, first: datetime, last: datetime) -> Iterator[str]:
    """The name of every bar from the first to the last, also where nothing was detected."""
    steps = (first + number * unit.step for number in range((last - first) // unit.step + 1))
    yield from dict.fromkeys([*(time.strftime(unit.form) for time in steps), last.strftime(unit.form)])


def _segments(labels: list[str], counts: dict[str, int], top: int) -> Iterator[Segment]:
    below = 0
    for label in labels:
        if count := counts.get(label, 0):
            y = _y(below + count, top)
            yield Segment(label, count, y, round(_y(below, top) - y, 1))
            below += count


def _y(value: int, top: int) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)


def _tick(highest: int) -> int:
    """A round number that goes at most five times into the highest bar."""
    rounds: Iterator[int] = (digit * 10**power for power in range(20) for digit in (1, 2, 5))
    return next(step for step in rounds if step * 5 >= highest)
