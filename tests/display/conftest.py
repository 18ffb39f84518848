"""Small results made by hand, so that the display room is tested without the rooms above it."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text


def make_curve(times, events, **group):
    """A Kaplan-Meier curve with plain intervals, in ten lines that can be read."""
    data = pd.DataFrame({"time": times, "event": events})
    counts = data.groupby("time")["event"].agg(["sum", "size"])
    counts = counts.reindex(sorted({0, *counts.index}), fill_value=0)
    lost, ended = counts["sum"].to_numpy(int), counts["size"].to_numpy(int)
    at_risk = len(data) - np.concatenate([[0], np.cumsum(ended)[:-1]])
    share = np.cumprod(1 - lost / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = share * np.sqrt(np.cumsum(lost / (at_risk * (at_risk - lost))))
    curve = pd.DataFrame(
        {
            "time": counts.index.to_numpy(int),
            "n_at_risk": at_risk,
            "n_events": lost,
            "n_censored": ended - lost,
            "estimate": share,
            "std_error": error,
            "conf_low": np.clip(share - 1.96 * error, 0, 1),
            "conf_high": np.clip(share + 1.96 * error, 0, 1),
            "conf_level": 0.95,
        }
    )
    for name, value in reversed(group.items()):
        curve.insert(0, name, value)
    return curve


def draw_times(n, *, mean=500, last=1200, seed=1):
    """Times to lapse with censoring, from a fixed seed."""
    rng = np.random.default_rng(seed)
    lapse = rng.exponential(mean, n).astype(int) + 1
    censored = rng.integers(30, last, n)
    return np.minimum(lapse, censored), lapse <= censored


@pytest.fixture(scope="session")
def curve_of():
    """Build a curve from times and events."""
    return make_curve


@pytest.fixture(scope="session")
def drawn_curve():
    """Build a curve of n patients from a seed."""

    def build(n, *, mean=500, last=1200, seed=1, **group):
        return make_curve(*draw_times(n, mean=mean, last=last, seed=seed), **group)

    return build


@pytest.fixture
def six_patients():
    """Lapses on days 1, 6 and 9; censored on days 3, 7 and 8.

    S(1) = 5/6, S(6) = 5/6 x 3/4 = 0.625, S(9) = 0.
    """
    return make_curve([1, 3, 6, 7, 8, 9], [True, False, True, False, False, True])


@pytest.fixture
def attrition():
    """8,000 patients; 1,200 + 3 + 0 left out."""
    return pd.DataFrame(
        {
            "step": [0, 1, 2, 3],
            "criterion": ["all", "first_visit_in_study", "known_sex", "adult"],
            "n_before": [8000, 8000, 6800, 6797],
            "n_excluded": [0, 1200, 3, 0],
            "n_after": [8000, 6800, 6797, 6797],
        }
    )


@pytest.fixture
def triangle():
    """Two monthly cohorts; the last cell of the second is not observed yet."""
    return pd.DataFrame(
        {
            "cohort": pd.to_datetime(["2024-01-01"] * 3 + ["2024-02-01"] * 3),
            "period": [0, 1, 2, 0, 1, 2],
            "n_patients": [40, 40, 40, 52, 52, 52],
            "n_retained": pd.array([40, 22, 4, 52, 26, None], dtype="Int64"),
            "estimate": [1.0, 22 / 40, 4 / 40, 1.0, 0.5, np.nan],
            "conf_low": [0.91, 0.40, 0.04, 0.93, 0.37, np.nan],
            "conf_high": [1.0, 0.69, 0.23, 1.0, 0.63, np.nan],
            "conf_level": 0.95,
        }
    )


@pytest.fixture
def texts_of():
    """All texts of a figure that a reader sees."""

    def read(figure):
        assert isinstance(figure, Figure)
        shown = [t.get_text() for t in figure.findobj(Text) if t.get_visible()]
        return [text for text in shown if text]

    return read


@pytest.fixture
def clipped_texts():
    """The texts that leave the page, and the pairs of texts within one axes that overlap."""

    def find(figure):
        renderer = figure.canvas.get_renderer()
        figure.canvas.draw()
        page = figure.bbox
        outside, boxes = [], []
        for text in figure.findobj(Text):
            if not text.get_visible() or not text.get_text():
                continue
            # An annotation's own box would take in its leader line.
            box = Text.get_window_extent(text, renderer)
            if box.x0 < -1 or box.y0 < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1:
                outside.append(text.get_text())
            boxes.append((text.get_text(), box))
        overlapping = [
            (a, b)
            for i, (a, first) in enumerate(boxes)
            for b, second in boxes[i + 1 :]
            if min(first.x1, second.x1) - max(first.x0, second.x0) > 1
            and min(first.y1, second.y1) - max(first.y0, second.y0) > 3
        ]
        return outside, overlapping

    return find
