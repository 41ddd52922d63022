"""Training on several devices or machines: strategies, TF_CONFIG, messages between workers.

A model is created and measured without a strategy. A copy, created under the strategy, is trained;
after every epoch, its state is copied back. So checkpoints, models and measurements are those of
one process, and one process can continue a run of several workers, or the other way round.

Only the chief writes; the other workers read the same folder of runs.
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
    """Another worker has ended or cannot be reached."""


class PartDone(Exception):
    """A worker that is not the chief has done its part of a run; the chief does the rest."""


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Create a strategy; call this before TensorFlow has done anything else.

    Args:
        name: `mirrored`, or `multi-worker`, which waits for all workers.

    Returns:
        The strategy.

    Raises:
        ValueError: `TF_CONFIG` is wrong, or its address for this worker cannot be used.
    """
    if name == "mirrored":
        import tensorflow as tf

        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        names = [device.name for device in devices]
        print(f"mirrored: training on {', '.join(names)}", flush=True)
        return tf.distribute.MirroredStrategy(names)
    workers, own = read_tf_config(os.environ)
    print(f"worker {own} of {len(workers)} at {workers[own]}: waiting for the others", flush=True)
    import tensorflow as tf

    # While TensorFlow waits for the other workers, Python cannot handle Ctrl-C; afterwards,
    # TensorFlow would catch SIGTERM.
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise ValueError(
            f"TF_CONFIG has {workers[own]} as the address of worker {own}; expected a free port of "
            f"this machine: correct the address or free the port ({error})"
        ) from None
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def read_tf_config(environment: Mapping[str, str]) -> tuple[list[str], int]:
    """Read the addresses of all workers from `TF_CONFIG`.

    Args:
        environment: of the process.

    Returns:
        The addresses, the chief's first, and the index of this process among them.

    Raises:
        ValueError: `TF_CONFIG` is missing or wrong; the message shows an example.
    """

    def check(condition: bool, problem: str) -> None:
        if not condition:
            raise ValueError(f"TF_CONFIG {problem}; expected something like {EXAMPLE}")

    text = environment.get("TF_CONFIG", "")
    check(bool(text.strip()), "is not set")
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
            f"has a {kind!r} in its cluster, beside chief and worker",
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
    check(kind in list(cluster), f"has the task type {kind!r}, which its cluster does not list")
    count = len(cluster[kind])
    check(
        type(index) is int and 0 <= index < count,
        f"has the task index {index!r}, and its cluster lists {count} of {kind!r}",
    )
    return addresses, addresses.index(str(cluster[kind][index]))


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether this process writes the run: it is the chief, or the only process."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def from_chief(strategy: tf.distribute.Strategy, number: int) -> int:
    """The chief's `number`, on every worker; every worker waits here for the chief."""
    import tensorflow as tf

    with strategy.scope():  # a new variable has the chief's value on every worker
        variable = tf.Variable(number, dtype=tf.int64, trainable=False)
    return int(strategy.experimental_local_results(variable)[0].numpy())


def check_same(strategy: tf.distribute.Strategy, number: int, what: str) -> None:
    """Raise a ValueError on a worker whose `number` differs from the chief's."""
    if number != from_chief(strategy, number):
        raise ValueError(
            f"this worker differs from the chief in {what}: start all workers with the same "
            "arguments, and let --runs and --data be folders that they share"
        )


def make_replica(model: keras.Model, strategy: tf.distribute.Strategy) -> keras.Model:
    """Create the same compiled model under `strategy`; `copy_state` copies its state."""
    settings = model.get_compile_config()
    # XLA cannot compile the messages between replicas in the middle of a step.
    settings["jit_compile"] = False
    with strategy.scope():
        replica = type(model).from_config(model.get_config())
        replica.compile_from_config(settings)
        replica.optimizer.build(replica.trainable_variables)
    return replica


def copy_state(source: keras.Model, target: keras.Model) -> None:
    """Copy weights and optimiser state between two compiled models of the same architecture."""
    pairs = zip(
        [*source.weights, *source.optimizer.variables],
        [*target.weights, *target.optimizer.variables],
        strict=True,
    )
    for variable, copy in pairs:
        copy.assign(variable.numpy())


@contextlib.contextmanager
def lost_workers_named(strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """Raise a WorkerLost where TensorFlow raises an error because another worker has ended."""
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
            "another worker has ended (see its log) or cannot be reached; the same commands "
            "continue after the last complete epoch"
        ) from error
