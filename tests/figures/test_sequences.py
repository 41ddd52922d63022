"""The sequence figures show the numbers of the arrays."""

import numpy as np
import pytest

from filvm.data.sequences import make_sequences, sequences_from_lists
from filvm.figures.sequences import (
    TABLE_1_NOTE,
    sequence_reconstruction_figure,
    table_1,
    table_b1,
    table_figure,
)


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_figure_5_shows_true_and_predicted_numbers_steps_and_lengths():
    true = sequences_from_lists([[783, 797, 811], [13, 31, 49, 67]], max_length=6)
    numbers = np.zeros((2, 6, 1))
    numbers[0, :4, 0] = [769.3, 789.2, 804, 819]
    numbers[1, :4, 0] = [46, 48, 62, 80]
    figure = sequence_reconstruction_figure(true, numbers, [4, 4], mean_absolute_error=9.87)
    first = [text.get_text() for text in figure.axes[0].texts]
    for said in ("783", "769", "789", "819", "14.0", "3", "4"):
        assert said in first, said
    assert f"{(819 - 769.3) / 3:.2f}" in first  # mean step
    assert "15.00" in first  # median of 19.9, 14.8, 15
    assert "9.87" in figure.get_suptitle()
    figure.draw_without_rendering()


def test_figure_5_draws_every_length():
    true = make_sequences(4, seed=0)
    figure = sequence_reconstruction_figure(true, true.numbers, true.length)
    assert texts(figure).count("\N{RIGHTWARDS ARROW}") == true.length.sum()


def test_no_text_leaves_its_column():
    true = make_sequences(4, start=(1000, 1000), step=(50, 50), length=(30, 30))
    figure = sequence_reconstruction_figure(true, true.numbers, true.length)
    figure.draw_without_rendering()
    for axis in figure.axes:
        box = axis.get_window_extent()
        for text in axis.texts:
            extent = text.get_window_extent()
            assert extent.x0 >= box.x0 - 1, text.get_text()
            assert extent.x1 <= box.x1 + 1, text.get_text()


def test_table_1_and_b1_are_the_reports():
    assert table_1().to_numpy().tolist() == [
        ["Start", 1, 1000],
        ["Step", 1, 50],
        ["Length", 3, 30],
    ]
    assert table_b1().to_numpy().tolist() == [
        ["4", "10", "7", "64", "4, 14, 24, 34, 44, 54, 64"],
        ["123", "25", "9", "323", "123, 148, 173, 198, 223, 248, 273, 298, 323"],
        ["1209", "179", "5", "1925", "1209, 1388, 1567, 1746, 1925"],
    ]


def test_no_text_leaves_its_cell():
    table = table_b1(make_sequences(2, start=(1000, 1000), length=(30, 30)))
    figure = table_figure(table, title="Table B1", note=TABLE_1_NOTE * 3)
    figure.draw_without_rendering()
    (drawn,) = figure.axes[0].tables
    for cell in drawn.get_celld().values():
        box, text = cell.get_window_extent(), cell.get_text().get_window_extent()
        assert text.x0 >= box.x0, cell.get_text().get_text()
        assert text.x1 <= box.x1, cell.get_text().get_text()
        assert text.y1 - text.y0 <= box.y1 - box.y0, cell.get_text().get_text()


@pytest.mark.parametrize("table", [table_1(), table_b1(make_sequences(3, seed=4))])
def test_a_table_figure_holds_every_cell(table):
    figure = table_figure(table, title="Table", note="note")
    (drawn,) = figure.axes[0].tables
    said = {cell.get_text().get_text().replace("\n", " ") for cell in drawn.get_celld().values()}
    assert {str(value) for row in table.to_numpy() for value in row} <= said
    figure.draw_without_rendering()
