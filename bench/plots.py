"""Draws what was measured: for each workload one bar for each way, as an SVG that needs nothing to be shown."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

WIDTH_PX, LABEL_PX, BAR_PX, GAP_PX = 760, 300, 18, 14
COLOURS = ("#0d6b6f", "#b8b4a8", "#7a7568")


def draw_bars(path: Path, title: str, rows: Mapping[str, Mapping[str, float]], unit: str) -> None:
    """Write the picture; the longest bar of each row is as long as the others', for rows differ by magnitudes."""
    ways = sorted({way for figures in rows.values() for way in figures})
    colours = dict(zip(ways, COLOURS, strict=False))
    parts = [_text(0, 18, title, 15)]
    top = 36
    for name, figures in rows.items():
        parts.append(_text(0, top + 13, name))
        parts += _row(top, figures, colours, unit)
        top += len(figures) * BAR_PX + GAP_PX
    size = f'viewBox="0 0 {WIDTH_PX} {top}" width="{WIDTH_PX}" height="{top}"'
    style = 'font-family="system-ui, sans-serif" font-size="12" fill="#333"'
    background = f'<rect width="{WIDTH_PX}" height="{top}" fill="white"/>'
    text = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{background}{"".join(parts)}</svg>\n'
    path.write_text(text, "utf-8")


def _row(top: int, figures: Mapping[str, float], colours: Mapping[str, str], unit: str) -> Sequence[str]:
    longest = max(figures.values())
    parts: list[str] = []
    for number, (way, figure) in enumerate(figures.items()):
        at = top + number * BAR_PX
        length = max(1, round((WIDTH_PX - LABEL_PX - 170) * figure / longest))
        parts.append(
            f'<rect x="{LABEL_PX}" y="{at}" width="{length}" height="{BAR_PX - 4}" fill="{colours[way]}" rx="2"/>'
        )
        parts.append(_text(LABEL_PX + length + 6, at + 11, f"{way} {figure:.1f} {unit}"))
    return parts


def _text(x: int, y: int, text: str, size: int = 12) -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}">{escape(text)}</text>'
