"""Every notebook runs from end to end, is listed, and is committed without traces of a machine."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from IPython import display
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from traitlets.config import Config

from filvm.cli import main
from filvm.experiments import RunError, Workspace
from filvm.report import notebooks
from filvm.report.notebooks import execute, notebook_names, stripped, with_sliders

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NAMES = notebook_names(FOLDER)
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
    """Prose all along, short cells, and something to try at the end."""
    cells = read(FOLDER / f"{name}.ipynb").cells
    assert cells[0].source.startswith("# ")
    assert sum(cell.cell_type == "markdown" for cell in cells) >= len(cells) / 3
    assert "## Try\n" in cells[-1].source
    for cell in cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 22


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


@pytest.mark.filterwarnings("ignore")  # a kernel writes them to stderr, which no copy keeps
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_shows_pictures_without_chatter(trained_runs, shell, monkeypatch, name):
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
    assert any("image/png" in output.data for output in shown)
    assert "0000 00:00" not in printed
    assert "Epoch" not in printed
    texts = [
        output.data.get("text/plain", "") + output.data.get("text/html", "") for output in shown
    ]
    assert str(trained_runs.runs) not in printed + "".join(texts)


def test_an_executed_copy_has_every_output_and_leaves_the_notebook_as_it_was(trained_runs):
    path = FOLDER / "01_vae_on_mnist.ipynb"
    before = path.read_bytes()
    made = execute(path.stem, trained_runs, FOLDER)
    notebook = read(made)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    shown = outputs(notebook)
    assert {output.output_type for output in shown} <= {"stream", "execute_result", "display_data"}
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert notebook == stripped(read(made))
    assert str(trained_runs.runs) not in json.dumps(notebook)
    assert path.read_bytes() == before


def test_sliders_draw_the_picture_again_and_without_them_there_is_a_picture(monkeypatch, capsys):
    shown, drawn = [], []

    class Handle:
        def update(self, picture):
            shown.append(picture)

    def show(picture, **_):
        shown.append(picture)
        return Handle()

    def draw(**values):
        drawn.append(values)
        return Figure()

    monkeypatch.setattr(display, "display", show)
    with_sliders(draw, digit=(0, 9, 3), thickness=(1.5, 5.0, 3.0))
    assert drawn[0] == {"digit": 3, "thickness": 3.0}
    digit, thickness, _ = shown[-1].children
    digit.value = 7
    assert drawn[-1] == {"digit": 7, "thickness": 3.0}
    thickness.value = 2.0
    assert drawn[-1]["thickness"] == pytest.approx(2.0, abs=0.06)
    assert isinstance(shown[-1], Figure)

    shown.clear()
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with_sliders(draw, digit=(0, 9, 3))
    assert len(shown) == 1
    assert "pip install ipywidgets" in capsys.readouterr().out


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
