"""The figures of the report: the runs that each needs, and how their arrays become a picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from filvm.data.side_information import attributes_to_config
from filvm.figures.architectures import (
    architecture_figure,
    model_diagram,
    recognition_diagram,
    sequence_diagrams,
    vae_diagrams,
)
from filvm.figures.flow_density import (
    energies_figure,
    flow_density_figure,
    restarts_figure,
    samples_density_figure,
)
from filvm.figures.graphical_models import graphical_model_figure, lens_circles, vae_circles
from filvm.figures.latent_space import digit_latent_space_figure, sequence_latent_space_figure
from filvm.figures.manipulation import (
    Grid,
    LatentMap,
    digit_grid_figure,
    effects_figure,
    latent_map_figure,
    swept_sequences_figure,
    swept_sequences_text,
)
from filvm.figures.reconstructions import reconstruction_figure
from filvm.figures.rotated import rotation_rows_figure
from filvm.figures.sequences import (
    TABLE_1_NOTE,
    TABLE_B1_NOTE,
    sequence_reconstruction_figure,
    table_1,
    table_b1,
    table_figure,
)
from filvm.figures.thickness import thickness_columns_figure
from filvm.lens import ILVM
from filvm.report import arrays
from filvm.report.registry import FIGURES, draw, figure
from filvm.report.tables import markdown_table
from filvm.runs.workspace import Workspace

# The report counts the attempts that ended finite for 32 flows only: 1 of 20 (section 5.2).
REPORT_FINITE = {32: 1}
LENSES = {
    "ilvm-mnist": "ILVM",
    "filvm-mnist-report": "FILVM, the report's recipe",
    "filvm-mnist": "FILVM, ours",
}
PLAIN_LENSES = {name: title for name, title in LENSES.items() if name != "ilvm-mnist"}
ROTATED_LENSES = {
    "filvm-mnist-r-report": "FILVM, the report's recipe",
    "filvm-mnist-r": "FILVM, ours",
}
SEQUENCE_LENSES = {
    "filvm-sequences-report": "FILVM, the report's recipe",
    "filvm-sequences-start-step": "FILVM, ours: start, step",
    "filvm-sequences": "FILVM, ours: start, step, length",
}

__all__ = ["FIGURES", "draw"]


# The models: Figures 1, 2 and A1 to A8.


@figure("figure_01", "graphical model of a VAE", "vae-mnist")
def figure_01(workspace: Workspace) -> Figure:
    return graphical_model_figure({"VAE": vae_circles(workspace.run("vae-mnist").model())})


@figure("figure_02", "graphical models of ILVM and FILVM", "filvm-mnist", "ilvm-mnist")
def figure_02(workspace: Workspace) -> Figure:
    models = {name: workspace.run(f"{name.lower()}-mnist").model() for name in ("ILVM", "FILVM")}
    return graphical_model_figure(
        {name: lens_circles(model.vae, model.lens) for name, model in models.items()}
    )


@figure("figure_A1", "the image VAE", "vae-mnist")
def figure_a1(workspace: Workspace) -> Figure:
    return architecture_figure(vae_diagrams(workspace.run("vae-mnist").model()))


def _sequence_architecture(workspace: Workspace, part: str) -> Figure:
    diagrams = sequence_diagrams(workspace.run("vae-sequences").model())
    return architecture_figure({part: diagrams[part]})


for _name, _summary, _part in (
    ("figure_A2", "encoder of the sequence VAE", "Encoder"),
    ("figure_A3", "decoder of the sequence VAE", "Decoder, one step"),
    ("figure_A4", "length decoder of the sequence VAE", "Length decoder"),
):
    figure(_name, _summary, "vae-sequences")(partial(_sequence_architecture, part=_part))


@figure("figure_A5", "recognition model", "filvm-mnist-r")
def figure_a5(workspace: Workspace) -> Figure:
    lens = workspace.run("filvm-mnist-r").model().lens
    return architecture_figure({"Recognition model": recognition_diagram(lens)})


@figure("figure_A6", "secondary recognition model", "filvm-mnist-r")
def figure_a6(workspace: Workspace) -> Figure:
    network = workspace.run("filvm-mnist-r").model().lens.secondary_recognition
    return architecture_figure({"Secondary recognition model": model_diagram(network)})


@figure("figure_A7", "generative model of the report's FILVM and ours", *ROTATED_LENSES)
def figure_a7(workspace: Workspace) -> Figure:
    lenses = {title: workspace.run(name).model().lens for name, title in ROTATED_LENSES.items()}
    return architecture_figure(
        {title: model_diagram(lens.generative) for title, lens in lenses.items()}
    )


@figure(
    "figure_A8",
    "generative model of the ILVM, with the sizes of MNIST-R as Figures A5 to A7",
    "ilvm-mnist",
    "filvm-mnist-r-report",
)
def figure_a8(workspace: Workspace) -> Figure:
    config = workspace.run("ilvm-mnist").model().lens.get_config()
    rotated = workspace.run("filvm-mnist-r-report").model().lens
    side_information = attributes_to_config(rotated.attributes)
    sizes = {"latent_dim": rotated.latent_dim, "side_information": side_information}
    lens = ILVM.from_config({**config, **sizes, "attribute_weights": None})
    return architecture_figure({"ILVM": model_diagram(lens.generative)})


# Reconstructions: Figures 3, 4 and 5.


@figure("figure_03", "reconstructions, MNIST", "vae-mnist")
def figure_03(workspace: Workspace) -> Figure:
    mse = workspace.run("vae-mnist").metrics()["test"]["mse"]
    pairs = arrays.reconstructed_digits(workspace)
    return reconstruction_figure(*pairs, mse=mse, title="VAE on MNIST")


@figure("figure_04", "reconstructions, MNIST-R", "vae-mnist-r")
def figure_04(workspace: Workspace) -> Figure:
    mse = workspace.run("vae-mnist-r").metrics()["test"]["mse"]
    pairs = arrays.reconstructed_rotated_digits(workspace)
    return reconstruction_figure(*pairs, mse=mse, title="VAE on MNIST-R")


@figure("figure_05", "reconstructed sequences", "vae-sequences")
def figure_05(workspace: Workspace) -> Figure:
    error = workspace.run("vae-sequences").metrics()["test"]["mean_absolute_error"]
    examples = arrays.reconstructed_sequences(workspace)
    return sequence_reconstruction_figure(*examples, mean_absolute_error=error)


# Densities fitted by planar flows: Figure 6 and three that the report does not have.


@figure("figure_06", "densities fitted by planar flows", "flow-density")
def figure_06(workspace: Workspace) -> Figure:
    metrics, drawn = workspace.run("flow-density").metrics(), arrays.densities(workspace)
    target, fits = metrics["target"], metrics["figure_6"]
    note = ""
    if target == "two-modes":
        note = (
            "Target: Rezende and Mohamed's first energy, with the two minus signs that are missing "
            "from the report's formula (its section 4.2)."
        )
    return flow_density_figure(
        drawn[target],
        [drawn[f"{target} {length}"] for length in fits["lengths"]],
        list(fits["lengths"]),
        [result["best_kl"] for result in fits["lengths"].values()],
        half_width=fits["half_width"],
        note=note,
    )


@figure("figure_06_restarts", "KL of every attempt", "flow-density")
def figure_06_restarts(workspace: Workspace) -> Figure:
    lengths = workspace.run("flow-density").metrics()["figure_6"]["lengths"]
    kl = np.array([result["kl"] for result in lengths.values()], np.float64)
    return restarts_figure([int(length) for length in lengths], kl, report_finite=REPORT_FINITE)


@figure("figure_06_energies", "other energies fitted", "flow-density")
def figure_06_energies(workspace: Workspace) -> Figure:
    run, drawn = workspace.run("flow-density"), arrays.densities(workspace)
    energies, length = run.metrics()["energies"], run.config()["settings"]["other_length"]
    return energies_figure(
        [drawn[name] for name in energies],
        [drawn[f"{name} {length}"] for name in energies],
        list(energies),
        [fits["lengths"][str(length)]["best_kl"] for fits in energies.values()],
        half_widths=[fits["half_width"] for fits in energies.values()],
        length=length,
    )


@figure("figure_06_samples", "densities fitted to samples by maximum likelihood", "flow-density")
def figure_06_samples(workspace: Workspace) -> Figure:
    moons = workspace.run("flow-density").metrics()["moons"]
    drawn = arrays.densities(workspace)
    return samples_density_figure(
        drawn["moons samples"],
        [drawn[f"moons {length}"] for length in moons["lengths"]],
        list(moons["lengths"]),
        [result["best_log_likelihood"] for result in moons["lengths"].values()],
        half_width=moons["half_width"],
        gaussian=moons["gaussian"],
        truth=moons["truth"],
    )


# Latent space: Figures 7, 8 and 9.


@figure("figure_07", "z* of ILVM, the report's FILVM and ours, MNIST", *LENSES)
def figure_07(workspace: Workspace) -> Figure:
    clouds, factors = arrays.mnist_clouds(workspace, LENSES)
    return digit_latent_space_figure(clouds, factors["digit"], factors["thickness"])


@figure("figure_08", "z* of the report's FILVM and ours, MNIST-R", *ROTATED_LENSES)
def figure_08(workspace: Workspace) -> Figure:
    clouds, factors = arrays.rotated_clouds(workspace, ROTATED_LENSES)
    return digit_latent_space_figure(
        clouds,
        factors["digit"],
        factors["rotation"],
        value_label="rotation (degrees, counter-clockwise positive)",
    )


@figure("figure_09", "z* of the report's FILVM and ours, sequences", *SEQUENCE_LENSES)
def figure_09(workspace: Workspace) -> Figure:
    titles = {name: _two_lines(title) for name, title in SEQUENCE_LENSES.items()}
    return sequence_latent_space_figure(*arrays.sequence_clouds(workspace, titles))


def _two_lines(title: str) -> str:
    return title.replace(", ", ",\n", 1)


# Dimensions of z* set by hand: Figures 10, 11, 12, B3 and B4.


@figure("figure_10", "every digit at every thickness, MNIST", *PLAIN_LENSES, "oracles-mnist")
def figure_10(workspace: Workspace) -> Figure:
    grids = [
        Grid(title, **arrays.thickness_grid(workspace, name))
        for name, title in PLAIN_LENSES.items()
    ]
    return digit_grid_figure(grids, y_label="z*[1], towards thicker digits")


@figure("figure_11", "every digit at every rotation, MNIST-R", *ROTATED_LENSES, "oracles-mnist-r")
def figure_11(workspace: Workspace) -> Figure:
    grids = [
        Grid(title, **arrays.rotation_grid(workspace, name))
        for name, title in ROTATED_LENSES.items()
    ]
    return digit_grid_figure(grids, measure_label="measured rotation (degrees)", form=".0f")


@figure("figure_12", "effect of each dimension on start, step, length and final", *SEQUENCE_LENSES)
def figure_12(workspace: Workspace) -> Figure:
    return effects_figure(
        {title: arrays.effects(workspace, name) for name, title in SEQUENCE_LENSES.items()},
        title="per cent: share of the attribute's range (grey) that the sweep moves it over",
    )


@figure("figure_B3", "the plane of digit and thickness", *PLAIN_LENSES)
def figure_b3(workspace: Workspace) -> Figure:
    maps = [
        LatentMap(title, **arrays.latent_map(workspace, name))
        for name, title in PLAIN_LENSES.items()
    ]
    return latent_map_figure(maps)


def figure_b4_text(workspace: Workspace) -> str:
    """Figure B4 as the report prints it, for our FILVM."""
    return swept_sequences_text(arrays.swept_sequences(workspace, "filvm-sequences"))


@figure(
    "figure_B4",
    "sequences made by each dimension",
    "filvm-sequences",
    "filvm-sequences-report",
    text={".txt": figure_b4_text},
)
def figure_b4(workspace: Workspace) -> Figure:
    swept = {
        _two_lines(SEQUENCE_LENSES[name]): arrays.swept_sequences(workspace, name)
        for name in ("filvm-sequences-report", "filvm-sequences")
    }
    return swept_sequences_figure(swept, np.linspace(-3, 3, 10))


# Data: Figures B1 and B2, Tables 1 and B1.


@figure("figure_B1", "digits by thickness", "filvm-mnist")
def figure_b1(workspace: Workspace) -> Figure:
    digits, thickness = arrays.mnist_with_thickness(workspace)
    return thickness_columns_figure(digits.test_images, thickness)


@figure("figure_B2", "digits by rotation", "vae-mnist-r")
def figure_b2(workspace: Workspace) -> Figure:
    rotated = arrays.rotated_digits(workspace)
    return rotation_rows_figure(rotated.test_images, rotated.test_angles)


def _table_texts(table: pd.DataFrame, note: str) -> dict[str, Callable[[Workspace], str]]:
    return {
        ".csv": lambda _: table.to_csv(index=False),
        ".md": lambda _: f"{markdown_table(table)}\n\n{note}\n",
    }


@figure(
    "table_1",
    "ranges of the sequences",
    "vae-sequences",
    text=_table_texts(table_1(), TABLE_1_NOTE),
)
def draw_table_1(_: Workspace) -> Figure:
    return table_figure(table_1(), title="Table 1: ranges", note=TABLE_1_NOTE, width=4.0)


@figure(
    "table_B1",
    "examples of sequences",
    "vae-sequences",
    text=_table_texts(table_b1(), TABLE_B1_NOTE),
)
def draw_table_b1(_: Workspace) -> Figure:
    return table_figure(table_b1(), title="Table B1: examples of sequences", note=TABLE_B1_NOTE)
