"""The explorer's page without its models: its files, onnxruntime-web, and the server.

Nothing here imports TensorFlow, so `filvm explore` answers at once.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from filvm.files import replacing, write_json
from filvm.runs.run import RunError
from filvm.serving import explorer

PAGE = Path(explorer.__path__[0])
STATIC = ("index.html", "style.css", "explorer.js", "models.js")
RUNTIME = "onnxruntime-web@1.30.0"
CDN = f"https://cdn.jsdelivr.net/npm/{RUNTIME}/dist/"
INTEGRITY = {  # of the files of RUNTIME that the page loads
    "ort.wasm.bundle.min.mjs": (
        "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM"
    ),
}
NPM_SECONDS = 300
BESIDE = "onnxruntime-web"  # the folder beside the page


def copy_static(folder: Path) -> None:
    """Copy the page's HTML, style sheet and modules into a folder."""
    for name in STATIC:
        shutil.copyfile(PAGE / name, folder / name)


def publish_page(made: Path, to: Path) -> None:
    """Copy an explorer to a folder of static files, which names the CDN of onnxruntime-web.

    Its WebAssembly has 14 MB, which a repository should not hold.

    Args:
        made: the folder that `filvm.serving.explore.make_explorer` wrote.
        to: is replaced.
    """
    with replacing(to) as copied:
        shutil.copytree(made, copied, ignore=shutil.ignore_patterns(BESIDE))
        write_json(copied / "runtime.json", runtime_addresses(CDN))


# onnxruntime-web.


def runtime(page: Path, data: Path) -> dict[str, Any]:
    """The content of `runtime.json`: beside the page if npm can fetch it, else at a CDN.

    Args:
        page: the page's folder, to which the files are copied.
        data: a folder that keeps what npm has fetched.
    """
    kept = data / RUNTIME.replace("@", "-")
    if not all((kept / name).is_file() for name in INTEGRITY):
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError, StopIteration):
            _fetch_runtime(kept)
    beside_page = all((kept / name).is_file() for name in INTEGRITY)
    if beside_page:
        shutil.copytree(kept, page / BESIDE)
    return runtime_addresses(f"{BESIDE}/" if beside_page else CDN)


def runtime_addresses(base: str) -> dict[str, Any]:
    """The content of `runtime.json` for files at an address, which ends in /."""
    return {
        role: {"url": base + name, "integrity": integrity}
        for role, (name, integrity) in zip(("module", "wasm"), INTEGRITY.items(), strict=True)
    }


def _fetch_runtime(kept: Path) -> None:
    """Fetch the package with npm, verify the two files and keep them.

    Raises:
        OSError, subprocess.SubprocessError, ValueError or StopIteration: npm is not installed, it
            fails, or a file is wrong.
    """
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            ["npm", "pack", "--silent", RUNTIME],
            cwd=scratch,
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=NPM_SECONDS,
        )
        with tarfile.open(next(Path(scratch).glob("*.tgz"))) as package, replacing(kept) as made:
            made.mkdir()
            for name, integrity in INTEGRITY.items():
                content = package.extractfile(f"package/dist/{name}").read()
                digest = base64.b64encode(hashlib.sha384(content).digest()).decode()
                if integrity != f"sha384-{digest}":
                    raise ValueError(f"{name} of {RUNTIME} has another hash than expected")
                (made / name).write_bytes(content)


# The server of `filvm explore`.


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a log line per request."""

    extensions_map: ClassVar = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *args: Any) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # the page may be made again
        super().end_headers()


@contextlib.contextmanager
def server(folder: Path, port: int = 0) -> Iterator[http.server.ThreadingHTTPServer]:
    """A server of the page on the loopback interface; call its `serve_forever`.

    Args:
        folder: of the page.
        port: 0 takes a free one.

    Raises:
        RunError: the page has not been made.
    """
    if not (folder / "explorer.json").is_file():
        profile = folder.parent.name
        raise RunError(
            f"{folder} holds no explorer; expected one: `make explorer PROFILE={profile}` makes it"
        )
    handler = functools.partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as serving:
        yield serving
