"""Figures 1, 2 and A1 to A8 show the shapes and connections of the models."""

import numpy as np
import pytest

from filvm.data import Categorical, Continuous
from filvm.figures.architectures import (
    architecture_figure,
    model_diagram,
    recognition_diagram,
    sequence_diagrams,
    vae_diagrams,
)
from filvm.figures.graphical_models import graphical_model_figure, lens_circles, vae_circles
from filvm.lens import FILVM, ILVM
from filvm.vae import ConvVAE, SequenceVAE

ATTRIBUTES = [Categorical("digit", 10), Continuous("thickness")]


@pytest.fixture(scope="module")
def vae():
    return ConvVAE(latent_dim=6, filters=(4, 8), dense_units=16)


@pytest.fixture(scope="module")
def sequence_vae():
    return SequenceVAE(max_length=7, units=5, dense_units=6, context_units=3)


@pytest.fixture(scope="module")
def lens():
    return FILVM(6, ATTRIBUTES, num_flows=3, hidden_units=[24, 12])


def networks(vae, sequence_vae, lens):
    cell = sequence_vae.decoder.get_layer("autoregression").cell
    of_lens = [lens.recognition, lens.secondary_recognition, lens.generative]
    return [vae.encoder, vae.decoder, sequence_vae.encoder, sequence_vae.decoder, cell, *of_lens]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_every_layer_is_a_box_with_its_own_name_and_shape(vae, sequence_vae, lens):
    for network in networks(vae, sequence_vae, lens):
        boxes = model_diagram(network).boxes
        assert list(boxes) == [layer.name for layer in network.layers]
        for layer in network.layers:
            shape = layer.get_output_shape_at(0)
            shapes = shape if isinstance(shape[0], (list, tuple)) else [shape]
            assert str(tuple(shapes[0])).replace("None", "?") in boxes[layer.name].shape


def test_edges_are_those_of_keras_own_configuration(vae, sequence_vae, lens):
    def names(inbound):
        if isinstance(inbound, (list, tuple)):
            if len(inbound) >= 3 and isinstance(inbound[0], str):
                return {inbound[0]} | names(list(inbound[3:]))
            return set().union(*map(names, inbound))
        return names(list(inbound.values())) if isinstance(inbound, dict) else set()

    for network in networks(vae, sequence_vae, lens):
        wanted = {
            (source, entry["name"])
            for entry in network.get_config()["layers"]
            for source in names(entry["inbound_nodes"])
        }
        edges = model_diagram(network).edges
        assert set(edges) == wanted
        assert len(edges) == len(wanted)


def test_other_settings_draw_another_figure(lens):
    def drawn(lens):
        return texts(architecture_figure({"": model_diagram(lens.generative)}))

    two_layers, one_layer = drawn(lens), drawn(FILVM(6, ATTRIBUTES, hidden_units=[20]))
    assert "(?, 24)" in two_layers
    assert "(?, 24)" not in one_layer
    assert two_layers.count("Dense, relu") == 2
    assert one_layer.count("Dense, relu") == 1


def test_a_box_names_the_activation(vae, sequence_vae):
    assert model_diagram(vae.encoder).boxes["conv_1"].action == "Conv2D 4×4, stride 2, relu"
    assert model_diagram(vae.encoder).boxes["z_mean"].action == "Dense, linear"
    assert model_diagram(sequence_vae.encoder).boxes["gru"].action == "GRU, tanh"


def test_recognition_leads_through_the_flows_to_z_star(lens):
    diagram = recognition_diagram(lens)
    assert {a for a, b in diagram.edges if b == "z_star"} == {"z_0", "w", "u", "b"}
    assert diagram.boxes["z_star"].action == "3 planar flows"
    assert diagram.boxes["w"].shape == f"(?, {3 * 6})"


def test_output_and_state_of_the_decoder_are_fed_back(sequence_vae):
    diagrams = sequence_diagrams(sequence_vae)
    cell = diagrams["Decoder, one step"]
    assert {(a, b) for a, b, _ in cell.feedback} == {
        ("number", "previous_output"),
        ("gru_cell", "state"),
    }
    assert ("context", "context_and_previous_output") in cell.edges
    assert cell.rows()[0] == ["z"]
    assert diagrams["Length decoder"].boxes["length_logits"].shape == "(?, 7)"


def test_a_layer_stands_below_its_inputs_and_no_two_boxes_overlap(vae, sequence_vae, lens):
    from filvm.figures.architectures import BOX_HEIGHT, _Layout

    diagrams = [model_diagram(network) for network in networks(vae, sequence_vae, lens)]
    diagrams += [recognition_diagram(lens), *sequence_diagrams(sequence_vae).values()]
    for diagram in diagrams:
        layout = _Layout(diagram, "")
        for a, b in diagram.edges:
            assert layout.boxes[a][1] - BOX_HEIGHT > layout.boxes[b][1]
        names = list(layout.boxes)
        places, widths = np.array(list(layout.boxes.values())), [layout.widths[n] for n in names]
        for i in range(len(names)):
            for j in range(i):
                apart_x = abs(places[i, 0] - places[j, 0]) - (widths[i] + widths[j]) / 2
                apart_y = abs(places[i, 1] - places[j, 1]) - BOX_HEIGHT
                assert max(apart_x, apart_y) > 0
        for (a, b), points in layout.passings.items():  # an edge touches no box it passes
            for x, y in points:
                for name in set(names) - {a, b}:
                    beside = abs(x - layout.boxes[name][0]) > layout.widths[name] / 2
                    assert beside or abs(y - layout.boxes[name][1]) > BOX_HEIGHT / 2


def test_in_figure_2_an_attribute_depends_on_the_input_of_its_head(vae, lens):
    fixed = lens_circles(vae, lens)
    assert [edge for edge in fixed.generative if edge[1] == "digit"] == [
        ("z*[0]", "digit"),
        ("ψ", "digit"),
    ]
    assert ("z*[1]", "thickness") in fixed.generative
    assert {a for a, b in fixed.generative if b == "z"} == {"z*[0]", "z*[1]", "other z*", "θ"}
    assert {a for a, _ in fixed.recognition} == {"z", "digit", "thickness", "φ"}
    assert fixed.sizes["other z*"] == "4"
    free = lens_circles(vae, ILVM(6, ATTRIBUTES))
    assert ("z*", "digit") in free.generative
    assert ("z*", "thickness") in free.generative


def test_figures_1_and_2_name_every_variable_and_its_size(vae, lens):
    drawn = texts(graphical_model_figure({"VAE": vae_circles(vae)}))
    assert {"z", "6", "x", "28×28×1", "θ", "φ", "N"} <= set(drawn)
    alone = FILVM(1, [Continuous("slant")])
    models = {"FILVM": lens_circles(vae, lens), "one": lens_circles(vae, alone)}
    assert {"digit", "10", "slant", "ψ"} <= set(texts(graphical_model_figure(models)))


def test_no_text_is_too_small_to_print(vae, lens):
    figures = [
        architecture_figure(vae_diagrams(vae)),
        graphical_model_figure({"FILVM": lens_circles(vae, lens)}),
    ]
    for figure in figures:
        assert all(t.get_fontsize() >= 7 for axes in figure.axes for t in axes.texts)
