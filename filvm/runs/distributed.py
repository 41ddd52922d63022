"""Training on several devices or machines: who takes part, and what workers tell each other.

A model is made and measured as without a strategy. What trains is its twin, made under the
strategy; after every epoch its state is copied back. So checkpoints, models and measures are those
of one process: one process can go on with what several began, and several with what one began.

Of several workers the chief alone writes; the others read the same folder of runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras

EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class WorkerLost(ConnectionError):
    """Another worker ended, or cannot be reached any more."""


class PartDone(Exception):
    """What a worker that is not the chief had to do for a run is done; the chief does the rest."""


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy of this name, `mirrored` or `multi-worker`; the latter waits for all workers.

    To be called before TensorFlow has done anything else. Raises a ValueError that says what is
    wrong with `TF_CONFIG`.
    """
    if name == "mirrored":
        import tensorflow as tf

        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        names = [device.name for device in devices]
        print(f"mirrored: trains on {', '.join(names)}", flush=True)
        return tf.distribute.MirroredStrategy(names)
    workers, own = read_tf_config(os.environ)
    print(f"worker {own} of {len(workers)} at {workers[own]}; all of them start now", flush=True)
    import tensorflow as tf

    # While TensorFlow waits for the others, Python would not hear of a Ctrl-C; from then on
    # TensorFlow would keep SIGTERM to itself.
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise ValueError(
            f"worker {own} cannot listen at {workers[own]}, where TF_CONFIG says it is ({error}): "
            "is the address this machine's, and its port free?"
        ) from None
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def read_tf_config(environment: Mapping[str, str]) -> tuple[list[str], int]:
    """All workers' addresses in `TF_CONFIG`, the chief's first, and which one is this process.

    Raises a ValueError that says in a sentence what is wrong, and shows how it should look.
    """

    def check(condition: bool, problem: str) -> None:
        if not condition:
            raise ValueError(f"TF_CONFIG {problem}; expected something like {EXAMPLE}")

    text = environment.get("TF_CONFIG", "")
    check(bool(text.strip()), "is not set, and `--strategy multi-worker` reads it")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        check(False, f"does not hold JSON ({error})")
    for part in ("cluster", "task"):
        found = isinstance(content, dict) and isinstance(content.get(part), dict)
        check(found, f"has no object {part!r}")
    cluster, task = content["cluster"], content["task"]
    check(bool(cluster), "lists no worker")
    for kind, listed in cluster.items():
        check(
            kind in ("chief", "worker"),
            f"has a {kind!r} in its cluster, and there are none here but chief and worker",
        )
        check(isinstance(listed, list) and bool(listed), f"lists no address of a {kind}")
        for address in listed:
            host, _, port = str(address).rpartition(":")
            check(
                bool(host) and port.isdecimal() and 0 < int(port[:6]) < 65536,
                f"has {address!r} as the address of a {kind}, which is not host:port",
            )
    check(len(cluster.get("chief", ())) <= 1, "lists more than one chief")
    addresses = [*map(str, cluster.get("chief", ())), *map(str, cluster.get("worker", ()))]
    check(len(set(addresses)) == len(addresses), "lists an address twice")
    kind, index = task.get("type"), task.get("index")
    check(
        kind in list(cluster), f"says that this task is a {kind!r}, which its cluster does not list"
    )
    count = len(cluster[kind])
    check(
        type(index) is int and 0 <= index < count,
        f"says that this task has the index {index!r}, and its cluster lists {count} of {kind!r}",
    )
    return addresses, addresses.index(str(cluster[kind][index]))


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether this process is the one that writes."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def from_chief(strategy: tf.distribute.Strategy, number: int) -> int:
    """The chief's `number`, on every worker; each waits here until the chief has come."""
    import tensorflow as tf

    with strategy.scope():  # of a new variable, every worker gets the chief's first value
        variable = tf.Variable(number, dtype=tf.int64, trainable=False)
    return int(strategy.experimental_local_results(variable)[0].numpy())


def check_same(strategy: tf.distribute.Strategy, number: int, what: str) -> None:
    """Raise a ValueError on a worker whose `number` is not the chief's."""
    if number != from_chief(strategy, number):
        raise ValueError(
            f"this worker differs from the chief in {what}: start all workers with the same "
            "arguments, and let --runs and --data be folders that they share"
        )


def make_twin(model: keras.Model, strategy: tf.distribute.Strategy) -> keras.Model:
    """The same compiled model, made under `strategy`; its state is yet to be copied."""
    settings = model.get_compile_config()
    # XLA cannot compile what replicas tell each other in the middle of a step.
    settings["jit_compile"] = False
    with strategy.scope():
        twin = type(model).from_config(model.get_config())
        twin.compile_from_config(settings)
        twin.optimizer.build(twin.trainable_variables)
    return twin


def copy_state(source: keras.Model, target: keras.Model) -> None:
    """Weights and optimiser of one compiled model into another of the same making."""
    pairs = zip(
        [*source.weights, *source.optimizer.variables],
        [*target.weights, *target.optimizer.variables],
        strict=True,
    )
    for variable, copy in pairs:
        copy.assign(variable.numpy())


@contextlib.contextmanager
def lost_workers_named(strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """Turn what TensorFlow raises where another worker has ended into a WorkerLost."""
    if getattr(strategy, "cluster_resolver", None) is None:
        yield
        return
    import tensorflow as tf

    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.FailedPreconditionError,
        tf.errors.InternalError,
    ) as error:
        raise WorkerLost(
            "another worker has ended (its own log says why) or cannot be reached; started again, "
            "the same commands go on after the last whole epoch"
        ) from error
