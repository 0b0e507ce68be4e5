"""Paper and ink for charts: one look, colours that colour-blind readers tell apart, no global state.

The colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/). They never speak alone: a marker, a
line style or a hatch says the same.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from reports.words import SPLITS, cut, is_share, printable, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Dashes = str | tuple[int, tuple[int, ...]]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
HATCHES = ("", "//", "\\\\", "x", "-", "|")
GREY = "#767676"
WILD = 1.5  # times the height of an axis


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture and what it shows.

    Attributes:
        title: A few words.
        figure: For a notebook, or to save in any format.
        alternative: The same in words, for whoever cannot see it.
        detailed: Whether it has small print, which must not shrink with a narrow page.
    """

    title: str
    figure: Figure
    alternative: str
    detailed: bool = False

    def svg(self) -> str:
        """The picture as SVG text, the same for the same study."""
        from matplotlib import rc_context

        file = io.StringIO()
        with rc_context({"svg.hashsalt": "toprung"}), _boxes_for_glyphs(), _laid_out(self.figure):
            self.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        return file.getvalue()

    def png(self) -> bytes:
        """The picture as a PNG file."""
        file = io.BytesIO()
        with _boxes_for_glyphs():
            self.figure.savefig(file, format="png", dpi=150)
        return file.getvalue()


def canvas(height: float = 3.6) -> tuple[Figure, Axes]:
    """A figure with one plot in the look of all charts; `height` in inches, the width is 6."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, height), layout="constrained")
    return figure, _plain(figure.add_subplot())


def panels(count: int, height: float = 2.3) -> tuple[Figure, list[Axes]]:
    """A figure with plots one below the other over the same x axis, each `height` inches high."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 0.5 + height * count), layout="constrained")
    plots = figure.subplots(count, squeeze=False, sharex=True)[:, 0]
    return figure, [_plain(axes) for axes in plots]


def picture_frame(height: float) -> tuple[Figure, Axes]:
    """A figure for pictures: no axes, no grid; `height` in inches, the width is 6."""
    figure, axes = canvas(height)
    axes.set_axis_off()
    return figure, axes


def scale(axes: Axes, metric: str, values: Iterable[float], *, maximize: bool) -> None:
    """Label the value axis with the metric, and leave out a few wild values where they would flatten the rest."""
    import numpy as np

    axes.set_ylabel(f"validation {spoken(metric)}")
    if is_share(metric):
        percent(axes.yaxis)
    known = np.array(list(values), dtype=float)
    known = known[np.isfinite(known)]
    if known.size:
        low, high = known.min(), known.max()
        # The good end stays whole: wild values are low accuracies and high losses.
        tame = (np.percentile(known, 2), high) if maximize else (low, np.percentile(known, 98))
        if high - low > WILD * (tame[1] - tame[0]):
            low, high = tame
        margin = 0.06 * (high - low) or 0.01
        axes.set_ylim(low - margin, high + margin)


def in_sight(values: Sequence[float]) -> Sequence[float]:
    """The values that an axis should show: all, but not the worst fifth where it would press the others flat.

    Args:
        values: The best first.
    """
    better = values[: math.ceil(0.8 * len(values))]
    return better if abs(values[0] - values[-1]) > 3 * abs(values[0] - better[-1]) else values


def beyond(axes: Axes, values: Iterable[float]) -> int:
    """How many values lie beyond the ends of the value axis."""
    low, high = axes.get_ylim()
    return sum(not low <= value <= high for value in values)


def curve(axes: Axes, values: Sequence[float], label: str, *, colour: str, dashes: Dashes) -> None:
    """Values by epoch, the first at 1; a single one as a dot."""
    marker = "o" if len(values) == 1 else None
    axes.plot(range(1, len(values) + 1), values, color=colour, linestyle=dashes, marker=marker, label=label)


def split_curves(axes: Axes, history: Mapping[str, Sequence[float]], metric: str) -> None:
    """A metric by epoch, in training and in validation."""
    for split, colour, dashes in (("train", COLOURS[1], "--"), ("val", COLOURS[0], "-")):
        curve(axes, history.get(f"{split}_{metric}", ()), SPLITS[split], colour=colour, dashes=dashes)
    axes.set_ylabel(spoken(metric))
    if is_share(metric):
        percent(axes.yaxis)


def percent(axis: Axis) -> None:
    """Write fractions in percent."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(xmax=1.0))


def whole_numbers(axis: Axis) -> None:
    """Mark whole numbers only: there is no epoch 2.5."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def by_epoch(axes: Axes) -> None:
    """Epochs along the x axis, from the first: there is no epoch 0."""
    axes.set_xlabel("epoch")
    whole_numbers(axes.xaxis)
    axes.set_xlim(left=0.5)


def legend(axes: Axes, order: Sequence[int] | None = None) -> None:
    """A legend without a frame, its entries in the given order."""
    handles, labels = axes.get_legend_handles_labels()
    order = range(len(labels)) if order is None else order
    axes.legend(
        [handles[place] for place in order],
        [labels[place] for place in order],
        loc="best",  # said aloud: the default warns when it takes long
        frameon=False,
        fontsize="small",
    )


def legend_above(axes: Axes, columns: int) -> None:
    """A legend without a frame above the plot, in so many columns."""
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, frameon=False, fontsize="small")


def legend_outside(figure: Figure, axes: Axes) -> None:
    """A legend of many entries without a frame, to the right of all plots: those of one of them."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=7)


def short_label(name: str, longest: int) -> str:
    """A name for a chart: at most so many letters, and no dollars, which matplotlib takes for formulas."""
    return cut(printable(name), longest).replace("$", r"\$")


def short_labels(names: Sequence[str], longest: int) -> list[str]:
    """Names for a chart, each in at most so many letters; those that would be cut alike lose their common beginning."""
    whole = [printable(name) for name in names]
    different = list(dict.fromkeys(whole))
    short = dict(zip(different, _told_apart(different, longest), strict=True))
    return [short[name].replace("$", r"\$") for name in whole]


def _told_apart(names: Sequence[str], longest: int) -> list[str]:
    """Different names, cut; what is left of those that begin alike begins with a whole word, unless that is long."""
    shown = [cut(name, longest) for name in names]
    for text, count in Counter(shown).items():
        if count == 1 or longest <= 3:
            continue
        alike = [place for place, one in enumerate(shown) if one == text]
        begin = _beginning([names[place] for place in alike], longest // 3)
        ends = _told_apart([names[place][begin:] for place in alike], longest - 1) if begin else []
        for place, end in zip(alike, ends, strict=False):
            shown[place] = f"\N{HORIZONTAL ELLIPSIS}{end}"
    return shown


def _beginning(names: Sequence[str], longest: int) -> int:
    """How many letters all names begin with, but for a part of a word that is at most so long."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    common = "".join(letter for letter, _ in pairs)
    word = re.split(r"[\W_]", common)[-1]
    return len(common) - (len(word) if len(word) <= longest else 0)


@contextmanager
def _laid_out(figure: Figure) -> Iterator[None]:
    """The figure as its layout places it for SVG: to find that out, `savefig` would draw all of it one time more."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    before, layout = figure.canvas, figure.get_layout_engine()
    FigureCanvasSVG(figure)  # a text is as wide as this canvas says
    if layout is not None:
        layout.execute(figure)
    figure.set_layout_engine(None)
    try:
        yield
    finally:
        figure.set_layout_engine(layout)
        figure.set_canvas(before)


@contextmanager
def _boxes_for_glyphs() -> Iterator[None]:
    """Names in scripts that the font lacks become boxes; the alternative text and the tables have them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _plain(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    return axes
