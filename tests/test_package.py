"""A wheel holds the package alone; imports run in one direction."""

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from filvm.serving.page import STATIC

ROOT = Path(__file__).parent.parent
# From low to high: a module may import from its own layer and from lower layers.
LAYERS = (
    "version",
    "files",
    "data",
    "flows",
    "serving.signatures",
    "vae",
    "lens",
    "analysis",
    "runs",
    "experiments",
    "serving",
    "figures",
    "report",
    "cli",
)
MODULES = sorted((ROOT / "filvm").rglob("*.py"))


def layer(module):
    """The index of the longest name in LAYERS that a module's name begins with."""
    parts = module.split(".")[1:]
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((LAYERS.index(name) for name in names if name in LAYERS), len(LAYERS))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    own = layer(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("filvm."):
                assert layer(name) <= own, f"{path.name} imports {name}"


def test_a_wheel_holds_the_package_and_nothing_else(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "filvm", tree / "filvm", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", tmp_path, tree],
        check=True,
    )
    (wheel,) = tmp_path.glob("filvm-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"filvm"}
    packed = {name for name in names if ".dist-info" not in name}
    data = {"filvm/py.typed", "filvm/report/results.csv"}
    data |= {f"filvm/serving/explorer/{name}" for name in STATIC}
    assert packed == {*data, *(str(path.relative_to(ROOT)) for path in MODULES)}
    metadata = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith("entry_points.txt")))
    assert b"filvm = filvm.cli:main" in metadata


def test_make_lists_every_target():
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in (
        "setup",
        "reproduce-figures",
        "data",
        "train",
        "figures",
        "notebooks",
        "test",
        "lint",
    ):
        assert f"make {target} " in printed
