"""How fast, and how close to Morpho-MNIST's definition, is `filvm.data.stroke_thickness`?

    python benchmarks/thickness.py [--images 1000] [--rounds 3] [--workers 1]

Both measure test digits on the same number of cores, in turns, so that whatever else the machine
does meets both. The definition is scikit-image's, image by image, in as many processes.
"""

import argparse
import time

import joblib
import numpy as np
from skimage.morphology import medial_axis
from skimage.transform import pyramid_expand

from filvm.data import load_mnist, stroke_thickness


def definition(image):
    upsampled = (255.0 * pyramid_expand(image, upscale=4, order=3)).astype(np.uint8)
    darkest, brightest = upsampled.min(), upsampled.max()
    binary = upsampled >= darkest + (brightest - darkest) * 0.5
    skeleton, distance = medial_axis(binary, return_distance=True)
    return 2.0 * np.mean(distance[skeleton]) / 4


def definition_of_all(images, workers):
    tasks = (joblib.delayed(definition)(image) for image in images)
    return np.array(joblib.Parallel(n_jobs=workers, batch_size=100)(tasks))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, help="for the definition")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()

    workers = arguments.workers
    many = load_mnist().test_images[: 8192 * workers]
    few = many[: arguments.images]
    definition_of_all(few[: 200 * workers], workers)  # starts the pool
    stroke_thickness(many[: 2048 * workers], num_workers=workers)

    speeds = []
    for number in range(1, arguments.rounds + 1):
        start = time.perf_counter()
        expected = definition_of_all(few, workers)
        between = time.perf_counter()
        ours = stroke_thickness(many, num_workers=workers)
        end = time.perf_counter()
        speeds.append((len(few) / (between - start), len(many) / (end - between)))
        slow, fast = speeds[-1]
        print(f"round {number}: definition {slow:5.0f} images/s, stroke_thickness {fast:5.0f}")
    slow, fast = np.median(speeds, axis=0)
    difference = ours[: len(few)] - expected
    print(
        f"on {workers} core(s), median of {arguments.rounds}: {fast / slow:.1f} times as fast; "
        f"mean absolute difference {np.abs(difference).mean():.4f} px, "
        f"mean {difference.mean():+.4f}, largest {np.abs(difference).max():.3f}"
    )


if __name__ == "__main__":
    main()
