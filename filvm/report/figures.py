"""The figures of the report: which runs each needs, and how its arrays become a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from filvm.experiments import (
    Run,
    Workspace,
    flow_density,
    lens_mnist,
    lens_mnist_r,
    lens_sequences,
    vae_mnist,
    vae_mnist_r,
    vae_sequences,
)
from filvm.experiments.lens import encode_images
from filvm.figures.ablations import ablations_figure, ablations_markdown
from filvm.figures.architectures import (
    architecture_figure,
    graphical_model_figure,
    lens_circles,
    model_diagram,
    recognition_diagram,
    sequence_diagrams,
    vae_circles,
    vae_diagrams,
)
from filvm.figures.flow_density import (
    energies_figure,
    flow_density_figure,
    restarts_figure,
    samples_density_figure,
)
from filvm.figures.latent_space import (
    Cloud,
    digit_latent_space_figure,
    sequence_latent_space_figure,
)
from filvm.figures.manipulation import (
    Grid,
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
    markdown_table,
    sequence_reconstruction_figure,
    table_1,
    table_b1,
    table_figure,
)
from filvm.figures.thickness import thickness_columns_figure
from filvm.files import replacing


@dataclass(frozen=True)
class ReportFigure:
    """One figure: file name, one line on what it shows, the experiments it is drawn from.

    `draw` is given the run of the first of `needs`; `run.of(name)` leads to the others. `text`,
    where there is one, is written beside the picture: suffix -> (run -> content).
    """

    name: str
    summary: str
    needs: Sequence[str]
    draw: Callable[[Run], Figure]
    text: Mapping[str, Callable[[Run], str]] = field(default_factory=dict)


def figure_01(run: Run) -> Figure:
    return graphical_model_figure({"VAE": vae_circles(run.model())})


def figure_02(run: Run) -> Figure:
    models = {"ILVM": run.of("ilvm-mnist").model(), "FILVM": run.model()}
    return graphical_model_figure(
        {title: lens_circles(model.vae, model.lens) for title, model in models.items()}
    )


def figure_a1(run: Run) -> Figure:
    return architecture_figure(vae_diagrams(run.model()))


def sequence_architecture(part: str) -> Callable[[Run], Figure]:
    """Draws one part of the sequence VAE: Figures A2, A3 and A4."""
    return lambda run: architecture_figure({part: sequence_diagrams(run.model())[part]})


def figure_a5(run: Run) -> Figure:
    return architecture_figure({"Recognition model": recognition_diagram(run.model().lens)})


def figure_a6(run: Run) -> Figure:
    diagram = model_diagram(run.model().lens.secondary_recognition)
    return architecture_figure({"Secondary recognition model": diagram})


def figure_a7(run: Run) -> Figure:
    return architecture_figure(
        {
            title: model_diagram(run.of(name).model().lens.generative)
            for name, title in ROTATED_LENSES.items()
        }
    )


def figure_a8(run: Run) -> Figure:
    return architecture_figure({"ILVM": model_diagram(run.model().lens.generative)})


def figure_03(run: Run) -> Figure:
    images, reconstructions = vae_mnist.reconstruction_examples(run)
    return reconstruction_figure(
        images, reconstructions, mse=run.metrics()["test"]["mse"], title="VAE on MNIST"
    )


def figure_04(run: Run) -> Figure:
    images, reconstructions = vae_mnist_r.reconstruction_examples(run)
    return reconstruction_figure(
        images, reconstructions, mse=run.metrics()["test"]["mse"], title="VAE on MNIST-R"
    )


def figure_07(run: Run) -> Figure:
    digits, thickness = lens_mnist.test_digits(run)
    titles = {
        "ilvm-mnist": "ILVM",
        "filvm-mnist-report": "FILVM, the report's recipe",
        "filvm-mnist": "FILVM, ours",
    }
    factors = {"digit": digits.test_labels, "thickness": thickness}
    images = digits.test_images
    clouds = [cloud(run.of(name), title, images, factors) for name, title in titles.items()]
    return digit_latent_space_figure(clouds, factors["digit"], factors["thickness"])


ROTATED_LENSES = {
    "filvm-mnist-r-report": "FILVM, the report's recipe",
    "filvm-mnist-r": "FILVM, ours",
}


def figure_08(run: Run) -> Figure:
    rotated = vae_mnist_r.rotated_digits(run)
    rows = rotated.one_test_rotation_each(10_000)
    factors = {"digit": rotated.test_labels[rows], "rotation": rotated.test_angles[rows]}
    images = rotated.test_images[rows]
    clouds = [cloud(run.of(name), title, images, factors) for name, title in ROTATED_LENSES.items()]
    return digit_latent_space_figure(
        clouds,
        factors["digit"],
        factors["rotation"],
        value_label="rotation (degrees, counter-clockwise positive)",
    )


def cloud(run: Run, title: str, images: np.ndarray, factors: dict[str, np.ndarray]) -> Cloud:
    """Test images in two dimensions of a lens's z*: those of its attributes.

    Where no dimension belongs to an attribute (ILVM), the one that tells most about it is taken.
    """
    from filvm.analysis.mutual_information import most_informative_dimensions  # slow to import

    model = run.model()
    z_star = model.lens.infer(encode_images(model.vae, images))
    try:
        x, y = (model.lens.dimension(name) for name in factors)
        chosen = ""
    except ValueError:
        x, y = most_informative_dimensions(z_star, factors).values()
        chosen = " (most informative)"
    alignment = run.metrics()["test"]["codes"]["alignment"]
    label, number = factors
    notes = [
        f"{label} read from z*[{x}]: {alignment[label]['accuracy']:.3f}",
        f"Spearman with z*[{y}]: {alignment[number]['spearman']:.2f}",
    ]
    x_label, y_label = f"z*[{x}]{chosen}", f"z*[{y}]{chosen}"
    return Cloud(title, z_star[:, x], z_star[:, y], x_label, y_label, notes)


def figure_10(run: Run) -> Figure:
    return digit_grid_figure([Grid("FILVM on MNIST", **lens_mnist.thickness_grid(run))])


def figure_11(run: Run) -> Figure:
    grids = [
        Grid(title, **lens_mnist_r.rotation_grid(run.of(name)))
        for name, title in ROTATED_LENSES.items()
    ]
    return digit_grid_figure(
        grids,
        measure_label="measured rotation (degrees)",
        form=".0f",
    )


def figure_b3(run: Run) -> Figure:
    images, values = lens_mnist.latent_map(run)
    return latent_map_figure(images, values, values)


def figure_b1(run: Run) -> Figure:
    digits, thickness = lens_mnist.test_digits(run)
    return thickness_columns_figure(digits.test_images, thickness)


def figure_b2(run: Run) -> Figure:
    rotated = vae_mnist_r.rotated_digits(run)
    return rotation_rows_figure(rotated.test_images, rotated.test_angles)


def figure_06(run: Run) -> Figure:
    drawn, metrics = flow_density.densities(run), run.metrics()
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


def figure_06_restarts(run: Run) -> Figure:
    lengths = run.metrics()["figure_6"]["lengths"]
    kl = np.array([result["kl"] for result in lengths.values()], np.float64)
    report_finite = flow_density.REPORT_FINITE
    return restarts_figure([int(length) for length in lengths], kl, report_finite=report_finite)


def figure_06_energies(run: Run) -> Figure:
    energies, drawn = run.metrics()["energies"], flow_density.densities(run)
    length = run.config()["settings"]["other_length"]
    return energies_figure(
        [drawn[name] for name in energies],
        [drawn[f"{name} {length}"] for name in energies],
        list(energies),
        [fits["lengths"][str(length)]["best_kl"] for fits in energies.values()],
        half_widths=[fits["half_width"] for fits in energies.values()],
        length=length,
    )


def figure_06_samples(run: Run) -> Figure:
    moons, drawn = run.metrics()["moons"], flow_density.densities(run)
    return samples_density_figure(
        drawn["moons samples"],
        [drawn[f"moons {length}"] for length in moons["lengths"]],
        list(moons["lengths"]),
        [result["best_log_likelihood"] for result in moons["lengths"].values()],
        half_width=moons["half_width"],
        gaussian=moons["gaussian"],
        truth=moons["truth"],
    )


SEQUENCE_LENSES = {
    "filvm-sequences-report": "FILVM, the report's recipe",
    "filvm-sequences-start-step": "FILVM, ours: start, step",
    "filvm-sequences": "FILVM, ours: start, step, length",
}


def figure_05(run: Run) -> Figure:
    true, numbers, lengths = vae_sequences.reconstruction_examples(run)
    error = run.metrics()["test"]["mean_absolute_error"]
    return sequence_reconstruction_figure(true, numbers, lengths, mean_absolute_error=error)


def figure_09(run: Run) -> Figure:
    clouds = []
    for name, title in SEQUENCE_LENSES.items():
        z_star, attributes = lens_sequences.latents_and_attributes(run.of(name))
        two_lines = title.replace(", ", ",\n", 1)
        clouds.append(sequence_cloud(two_lines, z_star, (0, 1), attributes))
    clouds.append(sequence_cloud("the same", z_star, (2, 3), attributes))  # where length is
    return sequence_latent_space_figure(clouds, attributes)


def sequence_cloud(
    title: str, z_star: np.ndarray, shown: tuple[int, int], attributes: dict[str, np.ndarray]
) -> Cloud:
    """Two dimensions of z*, noted with their Spearman correlations with each attribute."""
    from filvm.analysis.correlation import spearman  # slow to import

    rho = spearman(z_star[:, shown], attributes).values()
    notes = [f"$\\rho_x = {_zero(x):.2f}$   $\\rho_y = {_zero(y):.2f}$" for x, y in rho]
    x_label, y_label = (f"z*[{i}]" for i in shown)
    return Cloud(title, *z_star[:, shown].T, x_label, y_label, notes)


def _zero(value: float) -> float:
    """Without the sign of a zero of two decimals."""
    return round(value, 2) + 0.0


def figure_12(run: Run) -> Figure:
    return effects_figure(
        {title: lens_sequences.effects(run.of(name)) for name, title in SEQUENCE_LENSES.items()},
        title="per cent: share of the attribute's range (grey) that the sweep moves it over",
    )


def figure_b4(run: Run) -> Figure:
    swept = {
        title.replace(", ", ",\n", 1): lens_sequences.swept_sequences(run.of(name))
        for name, title in SEQUENCE_LENSES.items()
        if name != "filvm-sequences-start-step"
    }
    return swept_sequences_figure(swept, np.linspace(-3, 3, 10))


def figure_b4_text(run: Run) -> str:
    return swept_sequences_text(lens_sequences.swept_sequences(run))


def draw_table_1(run: Run) -> Figure:
    return table_figure(table_1(), title="Table 1: ranges", note=TABLE_1_NOTE, width=4.0)


def draw_table_b1(run: Run) -> Figure:
    return table_figure(table_b1(), title="Table B1: examples of sequences", note=TABLE_B1_NOTE)


FIGURES = {
    figure.name: figure
    for figure in (
        ReportFigure("figure_01", "graphical model of a VAE", ["vae-mnist"], figure_01),
        ReportFigure(
            "figure_02",
            "graphical models of ILVM and FILVM",
            ["filvm-mnist", "ilvm-mnist"],
            figure_02,
        ),
        ReportFigure("figure_03", "reconstructions, MNIST", ["vae-mnist"], figure_03),
        ReportFigure("figure_04", "reconstructions, MNIST-R", ["vae-mnist-r"], figure_04),
        ReportFigure(
            "figure_07",
            "z* of ILVM, the report's FILVM and ours, MNIST",
            ["filvm-mnist", "filvm-mnist-report", "ilvm-mnist"],
            figure_07,
        ),
        ReportFigure(
            "figure_08",
            "z* of the report's FILVM and ours, MNIST-R",
            ["filvm-mnist-r", "filvm-mnist-r-report"],
            figure_08,
        ),
        ReportFigure(
            "figure_10",
            "every digit at every thickness, MNIST",
            ["filvm-mnist", "oracles-mnist"],
            figure_10,
        ),
        ReportFigure(
            "figure_11",
            "every digit at every rotation, MNIST-R",
            ["filvm-mnist-r", "filvm-mnist-r-report", "oracles-mnist-r"],
            figure_11,
        ),
        ReportFigure("figure_B3", "the plane of digit and thickness", ["filvm-mnist"], figure_b3),
        ReportFigure("figure_B1", "digits by thickness", ["filvm-mnist"], figure_b1),
        ReportFigure("figure_B2", "digits by rotation", ["vae-mnist-r"], figure_b2),
        ReportFigure("figure_05", "reconstructed sequences", ["vae-sequences"], figure_05),
        ReportFigure(
            "figure_09",
            "z* of the report's FILVM and ours, sequences",
            ["filvm-sequences", "filvm-sequences-start-step", "filvm-sequences-report"],
            figure_09,
        ),
        ReportFigure(
            "figure_12",
            "what each dimension does to start, step, length and final",
            ["filvm-sequences", "filvm-sequences-start-step", "filvm-sequences-report"],
            figure_12,
        ),
        ReportFigure(
            "figure_B4",
            "sequences made by each dimension",
            ["filvm-sequences", "filvm-sequences-report"],
            figure_b4,
            {".txt": figure_b4_text},
        ),
        ReportFigure(
            "table_1",
            "ranges of the sequences",
            ["vae-sequences"],
            draw_table_1,
            {
                ".csv": lambda _: table_1().to_csv(index=False),
                ".md": lambda _: markdown_table(table_1(), TABLE_1_NOTE),
            },
        ),
        ReportFigure(
            "table_B1",
            "examples of sequences",
            ["vae-sequences"],
            draw_table_b1,
            {
                ".csv": lambda _: table_b1().to_csv(index=False),
                ".md": lambda _: markdown_table(table_b1(), TABLE_B1_NOTE),
            },
        ),
        ReportFigure("figure_A1", "the image VAE", ["vae-mnist"], figure_a1),
        ReportFigure(
            "figure_A2",
            "encoder of the sequence VAE",
            ["vae-sequences"],
            sequence_architecture("Encoder"),
        ),
        ReportFigure(
            "figure_A3",
            "decoder of the sequence VAE",
            ["vae-sequences"],
            sequence_architecture("Decoder, one step"),
        ),
        ReportFigure(
            "figure_A4",
            "length decoder of the sequence VAE",
            ["vae-sequences"],
            sequence_architecture("Length decoder"),
        ),
        ReportFigure("figure_A5", "recognition model", ["filvm-mnist-r"], figure_a5),
        ReportFigure("figure_A6", "secondary recognition model", ["filvm-mnist-r"], figure_a6),
        ReportFigure(
            "figure_A7",
            "generative model of the report's FILVM and ours",
            ["filvm-mnist-r", "filvm-mnist-r-report"],
            figure_a7,
        ),
        ReportFigure("figure_A8", "generative model of the ILVM", ["ilvm-mnist"], figure_a8),
        ReportFigure("figure_06", "densities fitted by planar flows", ["flow-density"], figure_06),
        ReportFigure(
            "figure_06_restarts", "KL of every attempt", ["flow-density"], figure_06_restarts
        ),
        ReportFigure(
            "figure_06_energies", "other energies fitted", ["flow-density"], figure_06_energies
        ),
        ReportFigure(
            "figure_06_samples",
            "densities fitted to samples by maximum likelihood",
            ["flow-density"],
            figure_06_samples,
        ),
    )
}


def draw(name: str, workspace: Workspace, folder: Path) -> Path:
    """Draw one figure from its runs into `folder`, as PNG; return its path.

    A figure made from the stand-in for MNIST says so.
    """
    figure = FIGURES[name]
    for needed in figure.needs:
        workspace.run(needed).check_done()
    drawn = figure.draw(workspace.run(figure.needs[0]))
    note = sample_note(workspace, figure.needs)
    if note:
        drawn.supxlabel(note, fontsize=7, color="#a00000")
    path = folder / f"{name}.png"
    with replacing(path) as temporary:
        drawn.savefig(temporary, format="png", dpi=200)
    for suffix, text in figure.text.items():
        with replacing(path.with_suffix(suffix)) as temporary:
            temporary.write_text(text(workspace.run(figure.needs[0])), "utf-8")
    return path


def draw_ablations(table: pd.DataFrame, folder: Path) -> None:
    """The table of `filvm.experiments.ablations` as ablations.png, .csv and .md in `folder`."""
    figure = ablations_figure(table, baseline="FILVM, ours")
    with replacing(folder / "ablations.png") as temporary:
        figure.savefig(temporary, format="png", dpi=200)
    for suffix, text in {
        ".csv": table.to_csv(index=False),
        ".md": ablations_markdown(table),
    }.items():
        with replacing(folder / f"ablations{suffix}") as temporary:
            temporary.write_text(text, "utf-8")


def sample_note(workspace: Workspace, needs: Sequence[str]) -> str:
    """A sentence where the runs were made from the 5,000 digits that stand in for MNIST."""
    sources = {workspace.run(name).config().get("data", {}).get("source") for name in needs}
    samples = sorted(source for source in sources if source and "sample" in source)
    return f"Made from the {samples[0]}, not from MNIST." if samples else ""
