"""Every notebook runs from end to end, is listed, and is committed without traces of a machine."""

import asyncio
import io
import json
import re
import sys
from pathlib import Path
from queue import Empty

import nbformat
import pytest
from IPython import display
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from matplotlib.image import imread
from traitlets.config import Config

from filvm.cli import main
from filvm.experiments import RunError, Workspace
from filvm.report import kernel, notebooks
from filvm.report.kernel import stripped
from filvm.report.live import LiveCurve, with_sliders
from filvm.report.notebooks import execute, notebook_names

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NAMES = notebook_names(FOLDER)
IN_A_KERNEL = "04_normalizing_flows"  # needs no digits; the others run in this process
# A folder of a machine, a date, a time of day.
TRACES = r"(/(home|root|tmp|work|Users|usr|opt|mnt)/|[A-Z]:\\\\|20\d\d-\d\d-\d\d|\b\d\d:\d\d:\d\d)"


def read(path):
    return nbformat.read(path, as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_every_notebook_is_listed_in_the_order_of_its_number():
    assert sorted(NAMES) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    numbered = [name for name in NAMES if name[0].isdigit()]
    assert numbered == sorted(numbered)
    assert [int(name[:2]) for name in numbered] == list(range(1, len(numbered) + 1))


@pytest.mark.parametrize("name", NAMES)
def test_committed_notebooks_hold_no_traces_of_a_machine_and_no_errors(name):
    notebook = read(FOLDER / f"{name}.ipynb")
    assert notebook == stripped(read(FOLDER / f"{name}.ipynb"))
    for output in outputs(notebook):
        assert output.output_type != "error"
        texts = [output.get("text", "")]
        texts += [text for kind, text in output.get("data", {}).items() if "image" not in kind]
        for text in texts:
            assert not re.search(TRACES, text), text


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_teach(name):
    """Goals, prerequisites and minutes; prose and short cells; a summary, exercises with hints."""
    cells = read(FOLDER / f"{name}.ipynb").cells
    opening = cells[0].source
    assert opening.startswith("# ")
    assert "\n**You will learn**\n\n- " in opening
    assert "\n**You need** " in opening
    assert re.search(r"\n\*\*Minutes\*\*: \d+ to read, \d+ to run on two cores\.", opening)
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "## Summary\n\n- " in prose
    exercises = prose.partition("## Exercises\n")[2]
    assert len(re.findall(r"^\d\. ", exercises, re.MULTILINE)) >= 3
    assert exercises.count("<summary>Hint</summary>") == exercises.count("</details>") >= 3
    assert sum(cell.cell_type == "markdown" for cell in cells) >= len(cells) / 3
    for cell in cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 28


def test_notebooks_are_linked_in_the_order_of_their_list():
    for place, name in enumerate(NAMES):
        links = re.findall(r"\]\((\w+)\.ipynb\)", read(FOLDER / f"{name}.ipynb").cells[-1].source)
        assert links == [*NAMES[max(place - 1, 0) : place], *NAMES[place + 1 : place + 2]]


def test_links_lead_somewhere():
    for path in sorted(FOLDER.glob("*.ipynb")):
        for cell in read(path).cells:
            if cell.cell_type == "markdown":
                for link in re.findall(r"\]\(([^)#]+)", cell.source):
                    assert link.startswith("http") or (FOLDER / link).is_file(), (path, link)


def test_every_equation_of_the_report_is_derived_in_a_notebook():
    prose = "".join(
        cell.source
        for name in NAMES
        for cell in read(FOLDER / f"{name}.ipynb").cells
        if cell.cell_type == "markdown"
    )
    assert set(re.findall(r"\\tag\{(\d)\}", prose)) == set("12345678")


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_sharp(name):
    """Retina: two pixels of a PNG per point of the page."""
    notebook = read(FOLDER / f"{name}.ipynb")
    assert any('figure_formats = ["retina"]' in cell.source for cell in notebook.cells)
    for output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            assert output.metadata["image/png"]["width"] <= 1300


class Shell(InteractiveShell):
    """IPython in this process, which has imported TensorFlow: a kernel takes seconds more."""

    def enable_gui(self, gui=None):
        """`%matplotlib inline` asks for no window."""


@pytest.fixture(scope="module")
def shell():
    shell = Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    # A cell's last value is displayed, as by a kernel, not printed.
    shell.display_trap.hook = lambda value: None if value is None else display.display(value)
    yield shell
    Shell.clear_instance()


def check_outputs(shown, printed, runs):
    """Pictures are shown; neither progress nor a folder is printed."""
    assert any("image/png" in data for data in shown)
    assert "0000 00:00" not in printed
    assert "Epoch" not in printed
    texts = [data.get("text/plain", "") + data.get("text/html", "") for data in shown]
    assert str(runs) not in printed + "".join(texts)


@pytest.mark.filterwarnings("ignore")  # a kernel writes them to stderr, which no copy keeps
@pytest.mark.parametrize("name", [name for name in NAMES if name != IN_A_KERNEL])
def test_a_notebook_runs_and_shows_pictures_without_chatter(
    trained_runs, shell, eager, monkeypatch, name
):
    monkeypatch.chdir(FOLDER)
    folders = {"RUNS": trained_runs.runs, "DATA": trained_runs.data}
    for variable, value in {"PROFILE": trained_runs.profile, **folders}.items():
        monkeypatch.setenv(f"FILVM_{variable}", str(value))
    shell.reset()
    printed, shown = "", []
    for cell in read(f"{name}.ipynb").cells:
        if cell.cell_type == "code":
            with capture_output() as captured:
                result = shell.run_cell(cell.source)
            assert result.success, cell.source
            printed += captured.stdout
            shown += captured.outputs
    check_outputs([output.data for output in shown], printed, trained_runs.runs)


def test_an_executed_copy_has_every_output_and_leaves_the_notebook_as_it_was(trained_runs):
    path = FOLDER / f"{IN_A_KERNEL}.ipynb"
    before = path.read_bytes()
    made = execute(path.stem, trained_runs, FOLDER)
    notebook = read(made)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    shown = outputs(notebook)
    assert {output.output_type for output in shown} <= {"stream", "execute_result", "display_data"}
    printed = "".join(output.get("text", "") for output in shown)
    check_outputs([output.get("data", {}) for output in shown], printed, trained_runs.runs)
    assert notebook == stripped(read(made))
    assert str(trained_runs.runs) not in json.dumps(notebook)
    assert path.read_bytes() == before


@pytest.fixture
def shown(monkeypatch):
    """What cells display, and what they put in the place of it later."""
    shown = []

    class Handle:
        def update(self, picture):
            shown.append(picture)

    def show(picture, **_):
        shown.append(picture)
        return Handle()

    monkeypatch.setattr(display, "display", show)
    return shown


def test_sliders_draw_the_picture_again_and_without_them_there_are_five(shown, monkeypatch, capsys):
    drawn = []

    def draw(**values):
        drawn.append(values)
        return Figure(figsize=(1, 1), dpi=50)

    with_sliders(draw, digit=(0, 9, 3), thickness=(1.5, 5.0, 3.0))
    assert [at["digit"] for at in drawn[:5]] == [0, 2, 4, 7, 9]
    assert {at["thickness"] for at in drawn} == {3.0}
    assert drawn[5:] == [{"digit": 3, "thickness": 3.0}]
    assert isinstance(shown[0], display.Image)
    assert imread(io.BytesIO(shown[0].data)).shape == (100, 500, 4)
    digit, thickness, _ = shown[-1].children
    digit.value = 7
    assert drawn[-1] == {"digit": 7, "thickness": 3.0}
    thickness.value = 2.0
    assert drawn[-1]["thickness"] == pytest.approx(2.0, abs=0.06)

    shown.clear()
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with_sliders(draw, digit=(0, 2, 1))
    assert [at["digit"] for at in drawn[-3:]] == [0, 1, 2]
    assert len(shown) == 1
    assert "pip install ipywidgets" in capsys.readouterr().out


def test_a_strip_that_would_be_too_wide_is_a_column(shown):
    with_sliders(lambda x: Figure(figsize=(8, 1), dpi=50), x=(0.0, 1.0, 0.5))
    assert imread(io.BytesIO(shown[0].data)).shape == (500, 800, 4)
    shown.clear()
    with_sliders(lambda x: Figure(figsize=(6, 6), dpi=50), x=(0.0, 1.0, 0.5))  # not flat
    assert imread(io.BytesIO(shown[0].data)).shape == (600, 3000, 4)


def test_a_curve_has_a_point_for_every_epoch_and_a_line_for_every_label(shown):
    curve = LiveCurve("loss", "kl", x_label="step", level=1.0)
    for label in ("beta 1", "beta 0.5"):
        callback = curve.callback(label)
        for epoch in range(3):
            callback.on_epoch_end(epoch, {"loss": 3.0 - epoch, "kl": 1.0, "other": 0.0})
        callback.on_train_end({})
    loss, kl = shown[-1].axes
    for line in (*loss.lines[:2], *kl.lines[:2]):
        assert line.get_xdata().tolist() == [1, 2, 3]
    assert loss.lines[0].get_ydata().tolist() == [3.0, 2.0, 1.0]
    assert [text.get_text() for text in kl.get_legend().get_texts()] == ["beta 1", "beta 0.5"]
    assert list(loss.lines[2].get_ydata()) == [1.0, 1.0]


def test_what_is_missing_is_trained_and_the_profile_is_checked(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(
        notebooks,
        "train_with_needs",
        lambda name, workspace: made.append((name, workspace.profile)),
    )
    for variable, value in {"PROFILE": "smoke", "RUNS": tmp_path, "DATA": tmp_path}.items():
        monkeypatch.setenv(f"FILVM_{variable}", str(value))
    assert notebooks.trained("filvm-mnist", "ilvm-mnist").folder == tmp_path / "smoke"
    assert made == [("filvm-mnist", "smoke"), ("ilvm-mnist", "smoke")]
    with pytest.raises(RunError, match="experiment is 'filvm'"):
        notebooks.trained("filvm")
    monkeypatch.setenv("FILVM_PROFILE", "huge")
    with pytest.raises(RunError, match="FILVM_PROFILE is 'huge'; expected one of full"):
        notebooks.trained()


def test_without_a_profile_the_quick_one_replaces_runs_that_are_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(notebooks, "train_with_needs", lambda name, workspace: None)
    monkeypatch.delenv("FILVM_PROFILE", raising=False)
    for variable in ("RUNS", "DATA"):
        monkeypatch.setenv(f"FILVM_{variable}", str(tmp_path))
    assert notebooks.trained().profile == "full"
    assert notebooks.trained("vae-mnist").profile == "quick"
    monkeypatch.setattr(notebooks.Workspace, "run", lambda self, name: Finished())
    assert notebooks.trained("vae-mnist").profile == "full"


class Finished:
    """A run that is complete."""

    def digest(self):
        """Of its model."""
        return "made"


def test_a_cell_that_fails_is_told(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(notebook, tmp_path / "wrong.ipynb")
    with pytest.raises(RunError, match="wrong.ipynb: ZeroDivisionError: division by zero"):
        execute("wrong", Workspace("smoke", tmp_path, tmp_path), tmp_path)


def test_folders_named_from_here_are_the_same_for_a_kernel(tmp_path, monkeypatch):
    code = "import os; print(os.environ['FILVM_MNIST_DIR'], os.environ['FILVM_DATA'])"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "where.ipynb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FILVM_MNIST_DIR", "digits")
    made = execute("where", Workspace("smoke", Path("runs"), Path("data")), Path("notebooks"))
    (output,) = nbformat.read(made, as_version=4).cells[0].outputs
    assert output["text"].split() == [str(tmp_path / "digits"), str(tmp_path / "data")]


def test_the_command_knows_its_notebooks(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["notebooks", "10_nothing", "--profile", "smoke"]) == 2
    assert "notebook is 10_nothing; expected 01_vae_on_mnist" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["notebooks"]) == 2
    assert "call this in the repository, which has notebooks/" in capsys.readouterr().err


def test_a_message_whose_announcement_was_missed_is_found_at_the_next_look(monkeypatch):
    looks = []

    async def missed_twice(_, timeout):
        looks.append(timeout)
        if len(looks) < 3:
            raise Empty
        return {"msg_type": "execute_reply"}

    monkeypatch.setattr(kernel.AsyncZMQSocketChannel, "get_msg", missed_twice)
    channel = object.__new__(kernel.PolledChannel)
    assert asyncio.run(channel.get_msg()) == {"msg_type": "execute_reply"}
    assert looks == [kernel.LOOK_AGAIN] * 3
    looks.clear()
    with pytest.raises(Empty):
        asyncio.run(channel.get_msg(0.0))
