"""The page on users' own data runs from top to bottom."""

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from skimage import io

PAGE = (Path(__file__).parents[1] / "docs" / "your_own_data.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """A working folder with image files, and with a small data set in MNIST's format."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index, image in enumerate(rng.integers(0, 256, (8, 32, 32, 3), np.uint8)):
        io.imsave(tmp_path / "photos" / f"{index}.png", image, check_contrast=False)
    (tmp_path / "fashion").mkdir()
    for part, count in (("train", 20), ("t10k", 10)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            values = np.arange(np.prod(shape)) % 10
            path = tmp_path / "fashion" / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))
    monkeypatch.chdir(tmp_path)


def test_every_case_of_the_page_runs(folders):
    names: dict = {}
    for code in BLOCKS:
        exec(compile(code, "your_own_data.md", "exec"), names)
    assert len(BLOCKS) == 9
    assert set(names["species"]) <= {"ash", "elm", "oak"}
    assert names["oaks"].shape == names["wide"].shape == (200, 6)
    assert set(names["gaps"]) == {"species", "trunk width", "felled"}
    assert names["degrees"].shape == (200,)
    assert names["brighter"].shape == (8, 32, 32, 3)
    np.testing.assert_array_equal(names["labels"], names["fashion"].train_labels)
    assert names["kinds"].num_classes == 10
    assert names["upwards"].shape == (200, 10, 2)
    assert names["new_lengths"].shape == (200,)
    assert names["longer"].dtype.kind == "U"
    assert names["positive"].shape == (200, 384)
