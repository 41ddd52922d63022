"""What is installed is the package alone, and its imports run one way."""

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From the ground up; a module may import from its own floor and from those below.
FLOORS = (
    "version",
    "files",
    "processes",
    "saved_model",
    "data",
    "flows",
    "models",
    "analysis",
    "experiments",
    "serving",
    "figures",
    "notebooks",
    "reproduce",
    "cli",
)
MODULES = sorted((ROOT / "filvm").rglob("*.py"))


def floor(path):
    name = path.relative_to(ROOT / "filvm").parts[0].removesuffix(".py")
    return FLOORS.index(name) if name in FLOORS else len(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "filvm" and len(parts) > 1:
                assert FLOORS.index(parts[1]) <= floor(path), f"{path.name} imports {name}"


def test_a_wheel_holds_the_package_and_nothing_else(tmp_path):
    tree = tmp_path / "tree"
    ignore = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, tree, ignore=ignore)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", tmp_path, tree],
        check=True,
    )
    (wheel,) = tmp_path.glob("filvm-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"filvm"}
    packed = {name for name in names if ".dist-info" not in name}
    assert packed == {"filvm/py.typed", *(str(path.relative_to(ROOT)) for path in MODULES)}
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
