"""The explorer page in a real browser: what it shows is what the Python models give."""

import contextlib
import json
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from filvm.analysis.oracles import build_digit_oracle, build_rotation_oracle
from filvm.data import Categorical, Continuous, stroke_thickness, to_float
from filvm.data.mnist import load_sample
from filvm.experiments import Experiment, RunError, Workspace, run_experiment
from filvm.lens import FILVM, InvertibleLens, LensPipeline
from filvm.vae import SequenceVAE, TextVAE
from tests.serving.test_serving import small_conv_vae, small_lens

pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")
from filvm.serving import explore
from filvm.serving import page as pages

# tf2onnx uses names of NumPy and protobuf that will go.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

DIGIT = Categorical("digit", 10)


@dataclass(frozen=True)
class Settings:
    seed: int = 0


@pytest.fixture(scope="module")
def models():
    """Small untrained models by run."""
    keras.utils.set_random_seed(0)
    vae, rotated_vae = small_conv_vae(), small_conv_vae()
    sequence_vae = SequenceVAE(4, max_length=6, units=8, dense_units=8, context_units=4)
    thickness, rotation = Continuous("thickness"), Continuous("rotation")
    sequence_lens = small_lens(FILVM, *map(Continuous, ("start", "step", "length")))
    sequence_lens.attribute_mean.assign([500.0, 25.0, 4.0])
    sequence_lens.attribute_scale.assign([290.0, 14.0, 1.5])
    small = {"filters": (8,), "dense_units": 8}
    text_vae = TextVAE(4, tokens="adegnr", max_length=8, **small)
    text_lens = small_lens(FILVM, Categorical("language", ["de", "en"]), Continuous("length"))
    rotated_lens = small_lens(FILVM, DIGIT, rotation)
    rotated_lens.attribute_scale.assign([1.0, 50.0])
    return {
        "vae-mnist": vae,
        "filvm-mnist": LensPipeline(vae, small_lens(FILVM, DIGIT, thickness)),
        "invertible-mnist": LensPipeline(vae, small_lens(InvertibleLens, DIGIT, thickness)),
        "oracles-mnist": build_digit_oracle(),
        "vae-mnist-r": rotated_vae,
        "filvm-mnist-r": LensPipeline(rotated_vae, rotated_lens),
        "oracles-mnist-r": build_rotation_oracle(),
        "vae-sequences": sequence_vae,
        "filvm-sequences": LensPipeline(sequence_vae, sequence_lens),
        "vae-words": text_vae,
        "filvm-words": LensPipeline(text_vae, text_lens),
    }


@pytest.fixture(scope="module")
def workspace(models, tmp_path_factory, pytestconfig):
    """A workspace in which these runs are complete."""
    data = pytestconfig.cache.mkdir("explorer")  # keeps onnxruntime-web
    workspace = Workspace("smoke", tmp_path_factory.mktemp("runs"), data)
    for name, model in models.items():

        def train(settings, run, model=model):
            run.save_model(model)

        experiment = Experiment(name, "", {"smoke": Settings()}, train, lambda *_: {})
        run_experiment(experiment, workspace.run(name))
    return workspace


@pytest.fixture(scope="module")
def digits():
    sample = load_sample()
    return sample.test_images[::40], sample.test_labels[::40]


@pytest.fixture(scope="module")
def page(workspace, digits):
    """The folder of the page, with weights in single precision."""
    ranges = {"thickness": (1.5, 6.0), "rotation": (-90.0, 90.0)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explore, "_digits", lambda *_: (*digits, ranges))
        explore.make_explorer(workspace, workspace.folder / "explorer", half=False)
    return workspace.folder / "explorer"


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install 'filvm[browser]'"
    )
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    if not any(found):
        pytest.skip("no Chromium is installed: apt-get install chromium")
    path = next(filter(None, found))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def served(folder):
    with pages.server(folder) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/"
        serving.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def address(page):
    if "http" in json.loads((page / "runtime.json").read_text())["wasm"]["url"]:
        pytest.skip("npm cannot fetch onnxruntime-web here: the page would load it from a CDN")
    with served(page) as address:
        yield address


class Tab:
    """A tab of the browser at one view of the page; console errors are collected."""

    def __init__(self, browser, address, view, *, width=1280, script=""):
        self.tab = browser.new_page(viewport={"width": width, "height": 900})
        self.view, self.errors = view, []
        self.tab.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        if script:
            self.tab.add_init_script(script)
        self.tab.goto(f"{address}#{view}")

    def ready(self):
        self.tab.wait_for_function(
            "view => document.getElementById(view).dataset.frames "
            "&& !document.querySelector('#status').textContent",
            arg=self.view,
        )
        return self

    def find(self, selector):
        return self.tab.locator(f"#{self.view} {selector}")

    def still(self):
        """Wait until nothing changes for a while; return the z* that is shown."""
        before = None
        while before != (now := self.find("").evaluate("root => root.dataset.frames")):
            before = now
            self.tab.wait_for_timeout(150)
        return np.float32(self.find("").evaluate("root => JSON.parse(root.dataset.z)"))

    def pixels(self):
        return np.float32(self.find(".after").evaluate("canvas => Array.from(canvas.pixels)"))

    def bytes(self):
        read = "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, 28, 28).data)"
        return np.array(self.find(".after").evaluate(read)).reshape(28, 28, 4)[..., 0]

    def drag(self, selector, *points):
        """Press the mouse at the first point of an element, move through the others, release."""
        box = self.find(selector).bounding_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.tab.mouse.move(*places[0])
        self.tab.mouse.down()
        for place in places[1:]:
            self.tab.mouse.move(*place, steps=4)
        self.tab.mouse.up()


@pytest.fixture
def open_tab(chromium, address):
    tabs = []

    def open_view(view, **options):
        tabs.append(Tab(chromium, address, view, **options))
        return tabs[-1].ready()

    yield open_view
    for tab in tabs:
        tab.tab.close()
        assert tab.errors == []


def assert_shows(tab, model, z_star):
    """The picture of a tab is what Python decodes."""
    expected = model.decode(z_star[None])[0, :, :, 0]
    np.testing.assert_allclose(tab.pixels().reshape(28, 28), expected, atol=1e-3)
    np.testing.assert_allclose(tab.bytes() / 255, expected, atol=1e-3 + 0.5 / 255)


def assert_moved(before, after, dimension):
    assert after[dimension] != before[dimension]
    np.testing.assert_array_equal(np.delete(after, dimension), np.delete(before, dimension))


def test_a_drawn_digit_is_read_and_every_control_changes_the_picture_as_python_does(
    open_tab, models
):
    model, tab = models["filvm-mnist"], open_tab("digits")
    first = tab.still()
    assert_shows(tab, model, first)

    tab.drag(".pad", (0.5, 0.2), (0.5, 0.8))
    drawn = tab.still()
    assert not np.array_equal(drawn, first)
    assert_shows(tab, model, drawn)

    tab.find(".owned input[type=range]").press("ArrowRight")
    thicker = tab.still()
    assert_moved(drawn, thicker, 1)
    assert_shows(tab, model, thicker)
    measured = stroke_thickness(np.clip(tab.pixels().reshape(1, 28, 28), 0, 1))[0]
    shown = tab.find(".measured").nth(1).inner_text()
    if np.isnan(measured):  # an untrained VAE may generate grey images
        assert shown.startswith("–")
    else:
        assert float(shown.split()[0]) == pytest.approx(measured, abs=0.15)

    tab.find(".owned label").nth(8).click()
    other = tab.still()
    assert other[0] == pytest.approx(float(model.lens.coordinate("digit", 8)), abs=1e-5)
    assert_moved(thicker, other, 0)
    assert_shows(tab, model, other)

    tab.find(".free summary").click()
    tab.find(".free input").first.press("End")
    styled = tab.still()
    assert_moved(other, styled, 2)
    assert_shows(tab, model, styled)
    tab.tab.wait_for_timeout(700)
    assert "Asked: digit " in tab.tab.inner_text("#spoken")

    tab.find(".reset").click()
    np.testing.assert_allclose(tab.still(), drawn, atol=1e-6)


def test_the_map_chooses_test_digits_by_pointing_and_by_arrow_keys(open_tab, models, digits):
    model, tab = models["filvm-mnist"], open_tab("digits")
    known = model.encode(to_float(digits[0]))
    before = tab.still()
    tab.drag(".map", (0.9, 0.1), (0.1, 0.9))
    pointed = tab.still()
    assert np.abs(known - pointed).max(axis=1).min() < 1e-3
    tab.find(".map").press("ArrowRight")
    chosen = tab.still()
    assert chosen[0] > pointed[0]
    assert np.abs(known - chosen).max(axis=1).min() < 1e-3
    assert not np.array_equal(before, chosen)


def test_the_dial_turns_with_the_mouse_and_with_keys(open_tab, models):
    model, tab = models["filvm-mnist-r"], open_tab("rotated")
    before = tab.still()
    tab.find("[role=slider]").press("PageUp")
    turned = tab.still()
    assert_moved(before, turned, 1)
    assert_shows(tab, model, turned)
    tab.drag(".dial svg", (0.5, 0.1), (0.1, 0.6))
    angle = float(tab.find("[role=slider]").get_attribute("aria-valuenow"))
    assert 60 < angle <= 90
    assert_shows(tab, model, tab.still())


def test_the_invertible_lens_takes_a_change_back(open_tab):
    tab = open_tab("undo")
    tab.find(".target label").nth(7).click()
    tab.tab.wait_for_timeout(500)
    lost = tab.find("small").all_inner_texts()
    assert float(lost[7].split()[2]) < 0.01


def test_sequences_are_shown_as_numbers_and_own_ones_are_read(open_tab, models):
    model, tab = models["filvm-sequences"], open_tab("sequences")

    def assert_numbers():
        numbers, lengths = model.decode(tab.still()[None])
        shown = tab.find("").evaluate("root => root.numbers")
        np.testing.assert_allclose(shown, numbers[0, : lengths[0], 0], rtol=1e-3, atol=1e-3)

    assert_numbers()
    before = tab.still()
    tab.find(".owned input").nth(1).press("Home")
    assert_moved(before, tab.still(), 1)
    assert_numbers()
    tab.find(".own input").fill("4, 8, 15, 16, 23, 42")
    tab.find(".own button").click()
    own = np.float32([4, 8, 15, 16, 23, 42])[None, :, None]
    np.testing.assert_allclose(tab.still(), model.encode(own)[0], atol=1e-3)
    tab.find(".own input").fill("4, -8")
    tab.find(".own button").click()
    assert "positive numbers" in tab.find(".fault").inner_text()


def test_a_word_is_read_and_changed_as_python_does(open_tab, models):
    model, tab = models["filvm-words"], open_tab("words")
    tab.find(".own input").fill("danger")
    tab.find(".own button").click()
    read = tab.still()
    np.testing.assert_allclose(read, model.encode(["danger"])[0], atol=1e-4)
    tab.find(".owned label").nth(1 if read[0] < 0 else 0).click()
    changed = tab.still()
    assert_moved(read, changed, 0)
    assert tab.find(".word").inner_text() == model.decode(changed[None])[0]
    tab.find(".own input").fill("zebra")
    tab.find(".own button").click()
    assert "letters out of adegnr" in tab.find(".fault").inner_text()


@pytest.mark.parametrize("view", ["digits", "rotated", "undo", "sequences", "words"])
def test_every_view_fits_a_phone(open_tab, view):
    tab = open_tab(view, width=390)
    assert tab.tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_thickness_of_the_page_is_that_of_python(open_tab, digits):
    tab = open_tab("undo")
    images = to_float(digits[0])[:40, :, :, 0]
    measured = tab.tab.evaluate(
        "async images => { const { strokeThickness } = await import('./models.js');"
        " return images.map(image => strokeThickness(image)); }",
        images.reshape(len(images), -1).tolist(),
    )
    differences = np.abs(measured - stroke_thickness(images, num_workers=1))
    assert np.median(differences) < 0.01
    assert differences.max() < 0.4  # the medial axis of a blob is not unique


def test_a_browser_without_webassembly_gets_one_sentence(chromium, address):
    tab = Tab(chromium, address, "digits", script="delete window.WebAssembly")
    tab.tab.wait_for_selector("#status.fault")
    assert "has no WebAssembly" in tab.tab.inner_text("#status")
    tab.tab.close()


def test_a_missing_model_gets_one_sentence(chromium, address, page, tmp_path):
    shutil.copytree(page, tmp_path / "page")
    (tmp_path / "page" / "models" / "vae-mnist" / "decode.onnx").unlink()
    with served(tmp_path / "page") as other:
        tab = Tab(chromium, other, "digits")
        tab.tab.wait_for_selector("#status.fault")
        assert "models/vae-mnist/decode.onnx answers 404" in tab.tab.inner_text("#status")
        tab.tab.close()


def test_the_page_has_the_views_of_the_complete_runs_alone(workspace, page, tmp_path, monkeypatch):
    only = {"sequences": explore.VIEWS["sequences"]}
    monkeypatch.setattr(explore, "VIEWS", only)
    monkeypatch.setattr(pages, "_fetch_runtime", lambda kept: None)
    made = explore.make_explorer(workspace, tmp_path / "explorer", check=False)
    assert list(made["views"]) == ["sequences"]
    empty = Workspace("smoke", tmp_path, workspace.data)
    with pytest.raises(RunError, match="make explorer"):
        explore.make_explorer(empty, tmp_path / "nothing")


def test_without_npm_the_page_names_a_cdn_with_hashes(tmp_path, monkeypatch):
    def fail(kept):
        raise FileNotFoundError("npm")

    monkeypatch.setattr(pages, "_fetch_runtime", fail)
    files = pages.runtime(tmp_path, tmp_path / "data")
    assert files["wasm"]["url"].startswith("https://")
    assert files["module"]["integrity"].startswith("sha384-")


def test_a_published_page_leaves_the_webassembly_to_the_cdn(page, tmp_path):
    pages.publish_page(page, tmp_path / "published")
    names = {path.name for path in (tmp_path / "published").rglob("*")}
    assert {"index.html", "explorer.json", "decode.onnx"} <= names
    assert not {name for name in names if name.endswith(".wasm")}
    published = json.loads((tmp_path / "published" / "runtime.json").read_text())
    assert published["wasm"]["url"].startswith("https://")


def test_all_published_models_together_have_less_than_15_MB():
    models = Path(__file__).parents[2] / "docs" / "explorer" / "models"
    sizes = [path.stat().st_size for path in models.rglob("*") if path.is_file()]
    assert len(sizes) > 20
    assert sum(sizes) < 15_000_000


def test_a_folder_without_a_page_is_not_served(tmp_path):
    with (
        pytest.raises(RunError, match="make explorer PROFILE=quick"),
        pages.server(tmp_path / "quick" / "explorer"),
    ):
        pass
