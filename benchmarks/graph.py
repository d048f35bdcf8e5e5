"""A graph as SVG: lines of points over size, drawn by hand so that a benchmark needs no plotting library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT, TOP = 640, 360, 64, 44, 150, 36
COLOURS = ("#0b6e4f", "#c8553d", "#28536b", "#8a6d3b", "#6b4c9a", "#555555")


@dataclass(frozen=True)
class Line:
    """One contender: (size, value) by growing size."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Scale:
    """From values to places on the page; both axes start at zero."""

    most_x: float
    most_y: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        across, upward = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + across * x / self.most_x, HEIGHT - BOTTOM - upward * y / self.most_y


def draw(path: Path, title: str, across: str, upward: str, lines: tuple[Line, ...]) -> None:
    """Write the graph."""
    points = [point for line in lines for point in line.points]
    scale = _Scale(max(x for x, _ in points), _round_up(max(y for _, y in points)))
    style = 'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg {style} viewBox="0 0 {WIDTH} {HEIGHT}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 8}">{escape(across)}</text>',
        f'<text x="8" y="{TOP - 4}">{escape(upward)}</text>',
        *_axes(scale, sorted({x for x, _ in points})),
    ]
    for number, line in enumerate(lines):
        parts += _line(scale, line, number)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _axes(scale: _Scale, sizes: list[float]) -> Iterator[str]:
    for step in range(5):
        value = scale.most_y * step / 4
        x, y = scale.at(0, value)
        yield f'<line x1="{x}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield f'<text x="{x - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    for size in sizes:
        x, y = scale.at(size, 0)
        yield f'<text x="{x:.1f}" y="{y + 16}" text-anchor="middle">{size:g}</text>'


def _line(scale: _Scale, line: Line, number: int) -> Iterator[str]:
    colour = COLOURS[number % len(COLOURS)]
    places = [scale.at(*point) for point in line.points]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
    left, height = WIDTH - RIGHT + 14, TOP + 18 * number
    yield f'<rect x="{left}" y="{height}" width="12" height="12" fill="{colour}"/>'
    yield f'<text x="{left + 18}" y="{height + 10}">{escape(line.name)}</text>'


def _round_up(value: float) -> float:
    """The next of 1, 2, 4 or 8 times a power of ten: a quarter of it is a number people read at a glance."""
    power = 10.0 ** (len(f"{int(value)}") - 1) if value >= 1 else 0.1
    return next(power * step for step in (1, 2, 4, 8, 10, 20) if power * step >= value)
