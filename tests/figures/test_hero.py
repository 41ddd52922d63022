"""The moving picture shows its frames one after the other."""

import numpy as np
from PIL import Image

from filvm.figures.hero import SIZE, Frame, save_frames


def test_the_frames_become_a_gif_that_repeats(tmp_path):
    digits = np.zeros([5, 28, 28])
    digits[:, 4:24, 12:16] = 1.0
    frames = [
        Frame(digits, digits * share, "thickness", f"{share} px", share, ("0", "1"), 0.1)
        for share in (0.0, 0.5, 1.0)
    ]
    save_frames(frames, tmp_path / "hero.gif", "a note")
    with Image.open(tmp_path / "hero.gif") as picture:
        assert picture.size == SIZE
        assert picture.n_frames == 3
        assert picture.info["loop"] == 0
        darkest = []
        for index in range(3):
            picture.seek(index)
            darkest.append(np.asarray(picture.convert("L"))[134:238, 128:232].min())
    assert darkest[0] > darkest[1] > darkest[2]
