"""The VAEs and oracles: their settings under each profile, and the data they need."""

from __future__ import annotations

from dataclasses import replace

from filvm.experiments.plans import experiment
from filvm.experiments.settings import (
    ImageVaeSettings,
    OracleSettings,
    SequenceVaeSettings,
    TextVaeSettings,
)

# VAEs of images. Of rotated digits, every pass shows 8 rotations of each.

MNIST_VAE = ImageVaeSettings()
# Small batches: with few steps, more of them help more than less noisy gradients.
SHORT_VAE = {"epochs": 2, "batch_size": 32, "test_limit": 4_000}
MNIST_VAES = {
    "full": MNIST_VAE,
    "quick": replace(MNIST_VAE, **SHORT_VAE, steps=1_500, steps_for_few=1.2, validation=1_000),
    "smoke": replace(MNIST_VAE, steps=4, epochs=2, train_limit=400, validation=100),
}
ROTATED_VAE = ImageVaeSettings(
    latent_dim=12,
    steps=16_000,
    steps_for_few=1.1,
    epochs=6,
    batch_size=64,  # in the same time, 128 reaches a larger error
    validation=1_000,
)
ROTATED_VAES = {
    "full": ROTATED_VAE,
    "quick": replace(ROTATED_VAE, **SHORT_VAE, steps=1_200, steps_for_few=1.0, validation=250),
    "smoke": replace(ROTATED_VAE, steps=4, epochs=2, train_limit=64, validation=16, test_limit=800),
}
# Little noise on z, because heights of digits differ by half a pixel; and distorted digits, which
# the encoder must know as well as those of the training set: it needs no attributes of them.
MORPHO_VAES = {
    name: replace(settings, latent_dim=16, beta=0.01, distorted=0.8)
    for name, settings in {
        **MNIST_VAES,
        "full": replace(MNIST_VAE, steps=9_360, epochs=40, train_limit=30_000, validation=10_000),
    }.items()
}

# The VAE of sequences.

SEQUENCE_VAE = SequenceVaeSettings()
SEQUENCE_VAES = {
    "full": SEQUENCE_VAE,
    "quick": replace(
        SEQUENCE_VAE,
        steps=1_000,
        epochs=2,
        batch_size=48,
        sequences=60_000,
        validation=2_000,
        test=4_000,
    ),
    "smoke": SequenceVaeSettings(
        steps=4,
        epochs=2,
        batch_size=64,
        sequences=512,
        validation=128,
        test=128,
        units=8,
        dense_units=16,
    ),
}

# The report's encoder: it gets the numbers alone.
PLAIN_SEQUENCE_VAES = {
    profile: replace(settings, differences=False) for profile, settings in SEQUENCE_VAES.items()
}

# The VAE of words.

TEXT_VAE = TextVaeSettings()
TEXT_VAES = {
    "full": TEXT_VAE,
    "quick": replace(TEXT_VAE, steps=2_000, epochs=4),
    "smoke": TextVaeSettings(
        filters=(16,),
        dense_units=32,
        steps=4,
        epochs=2,
        batch_size=64,
        train_limit=512,
        validation=128,
        test=128,
    ),
}

# Oracles: networks that judge generated digits.

ORACLE = OracleSettings()
ORACLES = {
    "full": ORACLE,
    "quick": replace(ORACLE, steps=600, epochs=1, batch_size=48, validation=1_000),
    "smoke": replace(ORACLE, steps=4, epochs=2, train_limit=512, validation=128, test_limit=500),
}
ROTATED_ORACLE = OracleSettings(
    steps=5_529, epochs=3, batch_size=256, learning_rate=4e-3, validation=1_000
)
ROTATED_ORACLES = {
    "full": ROTATED_ORACLE,
    "quick": replace(
        ROTATED_ORACLE, steps=800, epochs=1, batch_size=64, validation=250, test_limit=4_000
    ),
    "smoke": replace(
        ROTATED_ORACLE, steps=4, epochs=2, train_limit=128, validation=32, test_limit=400
    ),
}

MODELS = (
    experiment(
        "vae-mnist",
        "convolutional VAE on MNIST (Figure 3)",
        MNIST_VAES,
        ("vaes", "mnist"),
        data=("mnist",),
    ),
    experiment(
        "vae-mnist-r",
        "convolutional VAE on rotated digits (Figure 4)",
        ROTATED_VAES,
        ("vaes", "mnist-r"),
        data=("mnist-r",),
    ),
    experiment(
        "vae-sequences",
        "recurrent VAE on toy sequences (Figure 5)",
        SEQUENCE_VAES,
        ("vaes", "sequences"),
    ),
    experiment(
        "oracles-mnist",
        "digit classifier that judges generated digits",
        ORACLES,
        ("oracles", "mnist"),
        data=("mnist",),
    ),
    experiment(
        "oracles-mnist-r",
        "digit classifier and rotation regressor that judge generated rotated digits",
        ROTATED_ORACLES,
        ("oracles", "mnist-r"),
        data=("mnist-r",),
    ),
)
VAE_16 = experiment(
    "vae-mnist-16",
    "convolutional VAE on MNIST with 16 latents",
    MORPHO_VAES,
    ("vaes", "mnist"),
    data=("mnist",),
)
PLAIN_SEQUENCE_VAE = experiment(
    "vae-sequences-plain",
    "recurrent VAE on toy sequences, its encoder without differences of neighbours",
    PLAIN_SEQUENCE_VAES,
    ("vaes", "sequences"),
)
WORD_VAE = experiment(
    "vae-words",
    "convolutional VAE on words of five languages",
    TEXT_VAES,
    ("vaes", "words"),
)
