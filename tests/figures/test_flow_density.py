"""The flow figures show the values they are given, read back from the axes."""

import numpy as np
import pytest

from filvm.figures.flow_density import (
    energies_figure,
    flow_density_figure,
    restarts_figure,
    samples_density_figure,
)


def densities(count, n=20):
    return np.random.default_rng(0).uniform(0, 0.2, (count, n, n))


def test_figure_6_has_one_colour_scale_and_kl_under_each_panel():
    target, fitted = densities(1)[0], 2 * densities(3)
    figure = flow_density_figure(target, fitted, [2, 8, 32], [0.3, 0.05, 0.01], half_width=4.0)
    panels = figure.axes[:4]
    limits = {panel.images[0].get_clim() for panel in panels}
    assert limits == {(0, fitted.max())}
    assert [panel.get_title() for panel in panels] == ["target", "2 flows", "8 flows", "32 flows"]
    labels = [panel.get_xlabel().splitlines()[-1] for panel in panels[1:]]
    assert labels == ["KL 0.300 nats", "KL 0.050 nats", "KL 0.010 nats"]
    assert panels[0].images[0].get_extent() == [-4, 4, -4, 4]


def test_each_energy_has_its_fit_below_it_on_its_own_scale():
    targets, fitted = densities(2), 3 * densities(2)
    figure = energies_figure(
        targets, fitted, ["wave", "fork"], [0.1, 0.2], half_widths=[4.0, 7.0], length=16
    )
    panels = figure.axes
    for column, half_width in enumerate([4.0, 7.0]):
        above, below = panels[column], panels[2 + column]
        assert above.images[0].get_clim() == below.images[0].get_clim() == (0, fitted[column].max())
        assert below.images[0].get_extent() == [-half_width, half_width] * 2
    assert "KL 0.200 nats" in panels[3].get_xlabel()


def test_every_finite_attempt_is_a_point_and_the_finite_ones_are_counted():
    kl = np.array([[0.5, 0.4, 0.7], [0.02, np.nan, 0.03]])
    figure = restarts_figure([2, 32], kl, report_finite={32: 1})
    (axis,) = figure.axes
    points = [line.get_ydata() for line in axis.lines if line.get_marker() == "o"]
    assert [list(values) for values in points] == [[0.4, 0.5, 0.7], [0.02, 0.03]]
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert labels == ["2\n3 of 3 finite", "32\n2 of 3 finite\n(report: 1)"]


@pytest.mark.parametrize("count", [1, 3])
def test_samples_stand_beside_densities_with_their_likelihood(count):
    samples = np.random.default_rng(1).normal(size=(100, 2))
    figure = samples_density_figure(
        samples,
        densities(count),
        [2, 8, 32][:count],
        [-2.0] * count,
        half_width=3,
        gaussian=-2.5,
        truth=-1.75,
    )
    left, *panels = figure.axes[: count + 1]
    assert len(left.lines[0].get_xdata()) == 100
    assert "One Gaussian: -2.50 nats" in figure.get_supxlabel()
    assert "drawn from: -1.75 nats" in figure.get_supxlabel()
    assert all("-2.00 nats" in panel.get_xlabel() for panel in panels)
