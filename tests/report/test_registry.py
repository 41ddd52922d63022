"""How figures are written."""

from matplotlib.figure import Figure
from matplotlib.image import imread

from filvm.report.registry import save


def test_a_title_beyond_the_figure_is_in_the_file(tmp_path):
    figure = Figure(figsize=(2, 1))
    figure.text(0.5, 1.2, "a title", va="bottom", ha="center")
    save(figure, tmp_path / "whole.png")
    pixels = imread(tmp_path / "whole.png")[..., :3]
    assert (pixels < 0.5).any()
    inside = (pixels < 0.5).any(axis=(1, 2)).nonzero()[0]
    assert inside[0] > 0
