"""Delay against false alarms, as an SVG written by hand: no plotting library is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 800, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 310, 40, 55
COLOURS = ("#0b5fa5", "#5aa9e6", "#d1495b", "#edae49", "#66a182", "#8d6a9f", "#9c6644", "#444444")
FEWEST = 0.1  # per 1M: where no alarm was seen
MANY_MISSED = 0.05


@dataclass(frozen=True)
class Axes:
    """Both logarithmic."""

    most: float  # false alarms per 1M
    low: float  # delay
    top: float

    def x(self, rate: float) -> float:
        first = FEWEST / 2
        share = math.log(max(rate, FEWEST) / first) / math.log(self.most / first)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    def y(self, delay: float) -> float:
        share = math.log(self.top / delay) / math.log(self.top / self.low)
        return TOP + (HEIGHT - TOP - BOTTOM) * share

    def drawn(self) -> list[str]:
        out = []
        for power in range(round(math.log10(FEWEST)), math.floor(math.log10(self.most)) + 1):
            at, label = self.x(10.0**power), f"{10.0**power:g}"
            out += [_line(at, at, TOP, HEIGHT - BOTTOM), _text(at, HEIGHT - BOTTOM + 18, label)]
        for delay in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000):
            if self.low <= delay <= self.top:
                at = self.y(delay)
                out += [_line(LEFT, WIDTH - RIGHT, at, at), _text(LEFT - 22, at + 4, str(delay))]
        across, up = (LEFT + WIDTH - RIGHT) / 2, (HEIGHT - BOTTOM + TOP) / 2
        out.append(
            _text(across, HEIGHT - 15, f"false alarms per 1M values, measured (≥ {FEWEST:g})")
        )
        turned = f' transform="rotate(-90 18 {up:g})"'
        return [*out, _text(18, up, "mean delay, values", more=turned)]


def svg(rows: list[dict[str, Any]], title: str, oracle: float) -> str:
    """Rows with `detector`, `setting`, `per_million`, `mean`, `missed`; `oracle`: least delay."""
    seen = [r for r in rows if math.isfinite(r["mean"])]
    delays = [oracle, *(r["mean"] for r in seen)]
    most = max(10.0, *(r["per_million"] for r in seen)) * 2
    axes = Axes(most, min(delays) / 1.3, max(delays) * 1.3)
    shape = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    best = axes.y(oracle)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 22, title, anchor="start"),
        *axes.drawn(),
        _line(LEFT, WIDTH - RIGHT, best, best, "black", more=' stroke-dasharray="5 4"'),
    ]
    names = list(dict.fromkeys(r["detector"] for r in seen))
    for i, name in enumerate(names):
        colour = COLOURS[i % len(COLOURS)]
        own = sorted((r for r in seen if r["detector"] == name), key=lambda r: r["per_million"])
        points = " ".join(f"{axes.x(r['per_million']):.1f},{axes.y(r['mean']):.1f}" for r in own)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        out += [_point(axes, r, colour) for r in own]
        out += _legend(i, name, colour)
    out += _legend(len(names), "best possible at 1 per 1M", "black")
    note = _text(WIDTH - RIGHT + 15, TOP + 20 * len(names) + 36, "hollow: over 5 % missed", "start")
    return "\n".join([*out, note, "</svg>"]) + "\n"


def _point(axes: Axes, row: dict[str, Any], colour: str) -> str:
    fill = "white" if row["missed"] > MANY_MISSED else colour
    place = f'cx="{axes.x(row["per_million"]):.1f}" cy="{axes.y(row["mean"]):.1f}"'
    told = f"{row['detector']} {row['setting']}: {row['mean']:.0f}, {row['per_million']:.2g} per 1M"
    told += f", {row['missed']:.0%} missed" if row["missed"] else ""
    look = f'r="4" fill="{fill}" stroke="{colour}"'
    return f"<circle {place} {look}><title>{escape(told)}</title></circle>"


def _legend(place: int, name: str, colour: str) -> list[str]:
    at, left = TOP + 10 + 20 * place, WIDTH - RIGHT + 15
    return [_line(left, left + 18, at, at, colour), _text(left + 24, at + 4, name, "start")]


def _line(
    x1: float, x2: float, y1: float, y2: float, colour: str = "#ddd", *, more: str = ""
) -> str:
    ends = f'x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"{more}/>'


def _text(x: float, y: float, what: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(what)}</text>'
