"""Example requests to a served model, and the answers of the Python model to them.

The export check compares these answers with those of the exported graph; the requests are the
warm-up records, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tf_keras as keras

from filvm.data import Categorical, Circular, make_sequences
from filvm.data.side_information import attribute_values
from filvm.lens import Lens, LensPipeline
from filvm.vae import VAE, SequenceVAE

BATCHES = (1, 7, 256)  # batch sizes of the check

Requests = dict[str, dict[str, np.ndarray]]  # signature -> name of the input -> array


def check_cases(model: keras.Model, batches: Sequence[int] = BATCHES) -> dict[str, np.ndarray]:
    """Requests and the Python model's answers, under the names that `check.compare` reads."""
    return {
        f"{signature}/{batch}/{side}/{name}": array
        for batch in batches
        for signature, inputs in requests(model, batch, seed=batch).items()
        for side, arrays in (("in", inputs), ("out", answers(model, signature, inputs)))
        for name, array in arrays.items()
    }


def requests(model: keras.Model, batch: int, *, seed: int = 0) -> Requests:
    """An example request of `batch` rows for every signature."""
    rng = np.random.default_rng(seed)
    observed = _observations(model, batch, seed)
    lens = model.lens if isinstance(model, LensPipeline) else model
    latents = rng.standard_normal((batch, lens.latent_dim), np.float32)
    if isinstance(model, VAE):
        names = ("serving_default", "reconstruct", "encode")
        return {**dict.fromkeys(names, observed), "decode": {"z": latents}}
    dimension = rng.integers(0, lens.latent_dim, batch).astype(np.int32)
    value = rng.standard_normal(batch, np.float32)
    return {
        "serving_default": observed,
        "encode": observed,
        "encode_with_side_information": {**observed, **_side_information(lens, batch, rng)},
        "decode": {"z_star": latents},
        "manipulate": {**observed, "dimension": dimension, "value": value},
    }


def _observations(model: keras.Model, batch: int, seed: int) -> dict[str, np.ndarray]:
    """A model's main input by name: its own samples, or synthetic sequences."""
    if isinstance(model, Lens):
        z = np.random.default_rng(seed).standard_normal((batch, model.latent_dim), np.float32)
        return {"z": z}
    vae = model.vae if isinstance(model, LensPipeline) else model
    if isinstance(vae, SequenceVAE) and vae.signed:
        numbers, lengths = vae.sample(batch, seed=seed)
        x = vae.sequences_array((numbers, lengths))
    elif isinstance(vae, SequenceVAE):
        longest = vae.max_length
        x = make_sequences(batch, seed, length=(2, longest), max_length=longest).numbers
    else:
        x = vae.sample(batch, seed=seed)
    return {vae.served_spec.name: x}


def _side_information(lens: Lens, batch: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A value for every attribute and row; about a third of the values are missing."""
    side = {}
    for attribute, mean, scale in zip(
        lens.attributes, lens.attribute_mean.numpy(), lens.attribute_scale.numpy(), strict=True
    ):
        if isinstance(attribute, Categorical):
            values, missing = rng.integers(0, attribute.num_classes, batch), -1.0
        elif isinstance(attribute, Circular):
            values, missing = attribute.period * rng.random(batch), np.nan
        else:
            values, missing = mean + scale * rng.standard_normal(batch), np.nan
        side[attribute.key] = np.where(rng.random(batch) < 1 / 3, missing, values)
    return {name: values.astype(np.float32) for name, values in side.items()}


def answers(
    model: keras.Model, signature: str, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The answer of the Python model's own methods to a request: float32, named as in the graph."""
    x = next(iter(inputs.values()))
    if isinstance(model, VAE):
        if signature == "encode":
            return dict(zip(("z_mean", "z_log_var"), model.encode(x), strict=True))
        return _named(model, model.decode(x) if signature == "decode" else model.reconstruct(x))
    pipeline = isinstance(model, LensPipeline)
    lens, encode = (model.lens, model.encode) if pipeline else (model, model.infer)
    if signature in ("decode", "manipulate"):
        z_star = x
        if signature == "manipulate":
            z_star = encode(x)
            z_star[np.arange(len(x)), inputs["dimension"]] = inputs["value"]
        if pipeline:
            return _named(model.vae, model.decode(z_star))
        return {"z": model.generate(z_star).astype(np.float32)}
    known, outputs = {}, {}
    inferred = model.predict_side_information(x)
    for attribute in lens.attributes:
        is_label = isinstance(attribute, Categorical)
        found = inferred[attribute.name]
        if is_label:
            found = attribute_values(attribute, found)
        given = inputs.get(attribute.key, np.full(len(x), np.nan))
        missing = np.isnan(given) | (is_label & (given == -1))
        outputs[attribute.key] = np.where(missing, found, given)
        known[attribute.name] = given
        if is_label:
            indices = np.where(missing, 0, given).astype(int)
            known[attribute.name] = np.where(missing, None, attribute.labels[indices])
    outputs["z_star"] = encode(x, known)
    return {name: output.astype(np.float32) for name, output in outputs.items()}


def _named(vae: VAE, observed: Any) -> dict[str, np.ndarray]:
    """Observations under the names of the signatures' outputs."""
    return {name: np.asarray(array) for name, array in vae.named(observed).items()}
