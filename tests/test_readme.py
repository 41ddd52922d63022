"""Every command and every Python block of the README runs, on few digits."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from filvm import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [
    re.split(r"\s{2,}|\s#", line)[0].strip()
    for language, code in BLOCKS
    if not language and not code.startswith("@")
    for line in code.replace("\\\n", " ").splitlines()
    if line.strip()
]


def test_the_readme_has_python_and_commands():
    assert len(PYTHON) >= 2
    assert {command.split()[0] for command in COMMANDS} <= {"make", "filvm", "pip", "git", "cd"}


def test_the_python_of_the_readme_runs_from_top_to_bottom(few_digits, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in PYTHON:
        exec(compile(code, "README.md", "exec"), names)
    assert names["thicker"].shape == (10, 28, 28, 1)
    assert (tmp_path / "my_lens" / "saved_model.pb").is_file()


@pytest.mark.filterwarnings("ignore:Made from a built-in sample")
def test_the_commands_of_the_readme_run(monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FILVM_MNIST_DIR", raising=False)
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    shutil.copy(ROOT / "data" / "README.md", tmp_path / "data")
    ours = [command.split()[1:] for command in COMMANDS if command.startswith("filvm ")]
    assert ours
    for words in ours:
        small = [{"quick": "smoke", "steps=600": "steps=8"}.get(word, word) for word in words]
        assert cli.main(small) == 0, capfd.readouterr().err
    assert (tmp_path / "my-runs" / "smoke" / "figures" / "figure_03.png").is_file()


@pytest.mark.parametrize(
    "command", sorted({command for command in COMMANDS if command.startswith("make ")})
)
def test_a_make_target_of_the_readme_is_there(command):
    shown = subprocess.run(
        [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr


PAGES = [path for pattern in ("*.md", "docs/*.md", "notebooks/*.md") for path in ROOT.glob(pattern)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_a_file_leads_to_one(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    files = [link for link in links if "://" not in link]
    assert not [link for link in files if not (page.parent / link).exists()]
