"""Pictures of the explorer's views, and its speed in Chromium.

    python benchmarks/explorer.py runs/full/explorer

writes docs/explorer_<view>.png, 1280 pixels wide and light, and docs/explorer_<view>_phone.png, 390
wide and dark. It prints the sizes of the models, the milliseconds of a decode, and the pictures a
second while a slider moves. Needs the extra `browser` and Chromium.
"""

import argparse
import shutil
import sys
import threading
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from filvm.serving.page import server

VIEWS = ("digits", "rotated", "undo", "sequences", "words")
WIDTHS = {"": (1280, 820, "light"), "_phone": (390, 844, "dark")}
READY = """view => document.getElementById(view).dataset.frames
    && !document.querySelector('#status').textContent"""
READY_OR_FAULT = f"view => document.querySelector('#status.fault') || ({READY})(view)"
FRAMES = """async view => {
    const root = document.getElementById(view), input = root.querySelector('input[type=range]');
    const [low, high] = [Number(input.min), Number(input.max)];
    const before = Number(root.dataset.frames), began = performance.now();
    let asked = 0;
    for (let time = 0; time < 3000; time = performance.now() - began) {
        input.value = low + (high - low) * time / 3000;
        input.dispatchEvent(new Event('input', {bubbles: true}));
        await new Promise(requestAnimationFrame);
        asked++;
    }
    return [(Number(root.dataset.frames) - before) / 3, asked / 3];
}"""
DECODE = """async () => {
    const { json, loadRuntime, loadGraphs, Model } = await import('./models.js');
    const spec = (await json('explorer.json')).views.digits;
    const ort = await loadRuntime(await json('runtime.json'));
    const { vae, lens } = await loadGraphs(ort, spec.graphs);
    const model = new Model(spec, vae, lens), z = spec.samples.z_star[0];
    await model.decode(z);
    const began = performance.now();
    for (let i = 0; i < 200; i++) await model.decode(z);
    return (performance.now() - began) / 200;
}"""


def photograph(page: Page, address: str, view: str, path: Path) -> None:
    """Open a view, change something, and save a picture of the window."""
    page.goto(f"{address}#{view}")
    page.wait_for_function(READY_OR_FAULT, arg=view)
    if fault := page.locator("#status.fault").all_inner_texts():
        print(f"{view}: {fault[0]}")
        return
    if view == "digits":
        page.locator("#digits .owned input[type=range]").evaluate(
            "input => { input.value = 4.2; input.dispatchEvent(new Event('input')); }"
        )
    elif view == "rotated":
        page.locator("#rotated [role=slider]").press("PageUp")
        page.locator("#rotated [role=slider]").press("PageUp")
    elif view == "sequences":
        page.locator("#sequences .owned input").nth(1).evaluate(
            "input => { input.value = 35; input.dispatchEvent(new Event('input')); }"
        )
    elif view == "words":
        page.locator("#words .owned label").nth(1).click()
    page.wait_for_timeout(700)
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=path)
    print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="for example runs/full/explorer")
    parser.add_argument("--to", type=Path, default=Path("docs"), help="default: docs")
    arguments = parser.parse_args()
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        sys.exit("Chromium is not installed; expected for pictures: apt-get install chromium")

    for run in sorted((arguments.folder / "models").iterdir()):
        size = sum(path.stat().st_size for path in run.iterdir())
        print(f"{run.name}: {size / 1e6:.2f} MB")
    with server(arguments.folder) as serving, sync_playwright() as playwright:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{serving.server_port}/"
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for suffix, (width, height, scheme) in WIDTHS.items():
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                device_scale_factor=1 if width > 500 else 2,
            )
            page.on("console", lambda said: print(f"{said.type} on the console: {said.text}"))
            for view in VIEWS:
                path = arguments.to / f"explorer_{view}{suffix}.png"
                photograph(page, address, view, path)
            if not suffix:
                for view in ("digits", "sequences"):
                    page.goto(f"{address}#{view}")
                    shown, asked = page.evaluate(FRAMES, view)
                    print(f"{view}: {shown:.0f} pictures a second of {asked:.0f} frames")
                print(f"a decode of a digit: {page.evaluate(DECODE):.2f} ms")
            page.close()
        browser.close()
        serving.shutdown()


if __name__ == "__main__":
    main()
