// The page: four views on the models of explorer.json. models.js runs the models.

import { Model, Sentence, bytes, changedAndBack, json, loadGraphs, loadRuntime, strokeThickness } from "./models.js";

const SIDE = 28; // pixels of an image
const COLORS = ["#4477aa", "#ee6677", "#228833", "#b8860b", "#0f9bb8", "#aa3377", "#7a7a7a", "#d06a1c", "#6a55c2", "#5c8a1f"];

const find = (selector, root = document) => root.querySelector(selector);

function element(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "circle", "text", "polyline"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const title = ({ name }) => (name.startsWith("z*") ? name : name[0].toUpperCase() + name.slice(1));
const number = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
const shown = (attribute, value) => (attribute.labels ? String(value) : `${number(value, attribute.decimals)}${attribute.unit}`);
const spoken = (attribute, value) => (attribute.labels ? String(value) : `${number(value, attribute.decimals)} ${attribute.spoken}`.trim());

// --- Words for the reader of a screen, some time after the last change -----------------------

let pending = 0;
function say(text) {
  clearTimeout(pending);
  pending = setTimeout(() => (find("#spoken").textContent = text), 500);
}

// --- Pictures --------------------------------------------------------------------------------

/** Draw an image of 28 x 28 numbers in [0, 1]; the canvas keeps them as `pixels`. */
function draw(canvas, pixels) {
  const image = new ImageData(SIDE, SIDE);
  pixels.forEach((value, i) => {
    const grey = Math.round(255 * Math.min(1, Math.max(0, value)));
    image.data.set([grey, grey, grey, 255], 4 * i);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.pixels = pixels;
}

/** Ink on a pad as MNIST has it: the longer side 20 px, the centre of mass in the middle of 28 px. */
function asMnist(canvas) {
  const size = canvas.width;
  const { data } = canvas.getContext("2d").getImageData(0, 0, size, size);
  let [left, right, top, bottom, mass, meanX, meanY] = [size, -1, size, -1, 0, 0, 0];
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const ink = data[4 * (y * size + x) + 3];
      if (!ink) continue;
      [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
      mass += ink;
      meanX += ink * (x + 0.5);
      meanY += ink * (y + 0.5);
    }
  }
  if (right < 0) return null;
  const scale = Math.max(right - left + 1, bottom - top + 1) / 20; // pixels of the pad in one of the image
  const pixels = new Float32Array(SIDE * SIDE);
  const samples = Math.max(1, Math.ceil(scale / 2));
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      let sum = 0;
      for (let i = 0; i < samples; i++) {
        for (let j = 0; j < samples; j++) {
          const column = Math.floor(meanX / mass + (x + (i + 0.5) / samples - SIDE / 2) * scale);
          const row = Math.floor(meanY / mass + (y + (j + 0.5) / samples - SIDE / 2) * scale);
          if (column >= 0 && column < size && row >= 0 && row < size) sum += data[4 * (row * size + column) + 3];
        }
      }
      pixels[y * SIDE + x] = sum / (255 * samples * samples);
    }
  }
  return pixels;
}

function drawingPad(canvas, onStroke) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(context, { lineWidth: 24, lineCap: "round", lineJoin: "round", strokeStyle: "#fff" });
  let last = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
  };
  const line = (event) => {
    const next = place(event);
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...next);
    context.stroke();
    last = next;
    onStroke();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (canvas.fresh) pad.clear();
    canvas.fresh = false;
    last = place(event);
    line(event);
  });
  canvas.addEventListener("pointermove", (event) => last && line(event));
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
  const pad = {
    clear: () => context.clearRect(0, 0, canvas.width, canvas.height),
    /** Show an image; the first stroke removes it. */
    show(pixels) {
      pad.clear();
      const small = element("canvas", { width: SIDE, height: SIDE });
      draw(small, pixels);
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
      canvas.fresh = true;
    },
  };
  return pad;
}

// --- Controls of the coordinates -------------------------------------------------------------

/** Sliders, buttons and a dial for every coordinate of z*. */
class Controls {
  constructor(root, model, changed) {
    Object.assign(this, { model, changed, parts: [], playing: 0 });
    const { attributes, spec } = model;
    const owned = find(".owned", root);
    const free = find(".free", root);
    attributes.forEach((attribute) => {
      if (attribute.labels) this.addLabels(owned, attribute);
      else if (attribute.dial) this.addDial(owned, attribute);
      else this.addSlider(owned, attribute);
    });
    const taken = attributes.map((attribute) => attribute.dimension);
    const rest = Array.from({ length: spec.latent_dim }, (_, j) => j).filter((j) => !taken.includes(j));
    find("summary", free).textContent =
      rest.length === 1 ? "The other coordinate, without a name" : `The other ${rest.length} coordinates, without names`;
    free.hidden = !rest.length;
    for (const dimension of rest) {
      const bare = { name: `z*[${dimension}]`, dimension, range: [-3, 3], coordinates: [-3, 3], unit: "", spoken: "", decimals: 2 };
      this.addSlider(free, bare);
    }
    find(".reset", root).addEventListener("click", () => this.set(this.first));
    this.button = find(".play", root);
    this.button.addEventListener("click", () => (this.playing ? this.stop() : this.play()));
    root.addEventListener("input", () => this.stop());
  }

  /** Show a z*, and what was read from it. */
  set(zStar) {
    this.stop();
    this.first = zStar.slice();
    this.zStar = zStar.slice();
    this.parts.forEach((part) => part.read(this.first));
    this.update();
  }

  update() {
    this.parts.forEach((part) => part.show(this.zStar));
    this.changed();
  }

  move(attribute, value) {
    this.zStar[attribute.dimension] = this.model.coordinate(attribute, value);
    this.update();
  }

  addLabels(root, attribute) {
    const small = element("small");
    const long = attribute.labels.some((label) => String(label).length > 2);
    const set = element("fieldset", { class: long ? "labels long" : "labels" }, element("legend", {}, `Which ${attribute.name} `, small));
    const inputs = attribute.labels.map((label) => {
      const input = element("input", { type: "radio", name: `${this.model.spec.run}-${attribute.name}`, value: label });
      input.addEventListener("change", () => this.move(attribute, label));
      set.append(element("label", {}, input, element("span", {}, String(label))));
      return input;
    });
    root.append(set);
    this.parts.push({
      attribute,
      read: (zStar) => (small.textContent = `read: ${this.model.read(attribute, zStar)}`),
      show: (zStar) => {
        const at = attribute.labels.indexOf(this.model.read(attribute, zStar));
        inputs.forEach((input, k) => (input.checked = k === at));
      },
    });
  }

  addSlider(root, attribute) {
    const [min, max] = attribute.range;
    const id = `${this.model.spec.run}-${attribute.dimension}`;
    const input = element("input", { type: "range", id, min, max, step: attribute.step ?? (max - min) / 200 });
    const output = element("output", { for: id });
    const small = element("small");
    const label = element("label", { for: id }, title(attribute));
    root.append(element("div", { class: "slider" }, element("div", {}, label, element("span", {}, output, small)), input));
    input.addEventListener("input", () => this.move(attribute, Number(input.value)));
    this.parts.push({
      attribute,
      read: (zStar) => (small.textContent = `read: ${shown(attribute, this.model.read(attribute, zStar))}`),
      show: (zStar) => {
        const value = this.model.read(attribute, zStar);
        input.value = value;
        output.textContent = shown(attribute, value);
        input.setAttribute("aria-valuetext", spoken(attribute, value));
      },
    });
  }

  /** A half circle from -90 degrees (right) to 90 (left): a digit stands upright at 0. */
  addDial(root, attribute) {
    const [min, max] = attribute.range;
    const at = (angle, radius) => [110 - radius * Math.sin((angle * Math.PI) / 180), 110 - radius * Math.cos((angle * Math.PI) / 180)];
    const arc = element("path", { class: "track", d: `M${at(min, 88)} A88 88 0 0 0 ${at(max, 88)}` });
    const hand = element("line", { class: "hand", x1: 110, y1: 110 });
    const knob = element("circle", { class: "knob", r: 11 });
    const marks = [min, 0, max].map((angle) => {
      const [x, y] = angle ? at(angle, 88) : at(0, 66);
      return element("text", { x, y: angle ? y + 24 : y + 4 }, `${angle}°`);
    });
    const svg = element(
      "svg",
      { viewBox: "0 0 220 140", role: "slider", tabindex: 0, "aria-label": "Rotation in degrees", "aria-valuemin": min, "aria-valuemax": max },
      arc, ...marks, hand, knob,
    );
    const output = element("output");
    const small = element("small");
    root.append(element("div", { class: "dial slider" }, svg, element("div", {}, element("span", { class: "dial-words" }, "Turned by ", output), small)));
    const turn = (angle) => {
      this.stop();
      this.move(attribute, Math.min(max, Math.max(min, angle)));
    };
    let held = false;
    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 220 - 110;
      const y = 110 - ((event.clientY - box.top) / box.height) * 140;
      turn((Math.atan2(-x, y) * 180) / Math.PI);
    };
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      held = true;
      point(event);
    });
    svg.addEventListener("pointermove", (event) => held && point(event));
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (held = false));
    svg.addEventListener("keydown", (event) => {
      const value = this.model.read(attribute, this.zStar);
      const moves = { ArrowLeft: 2, ArrowUp: 2, ArrowRight: -2, ArrowDown: -2, PageUp: 15, PageDown: -15 };
      if (event.key in moves) turn(Math.round(value) + moves[event.key]);
      else if (event.key === "Home") turn(min);
      else if (event.key === "End") turn(max);
      else return;
      event.preventDefault();
    });
    this.parts.push({
      attribute,
      read: (zStar) => (small.textContent = `read: ${shown(attribute, this.model.read(attribute, zStar))}`),
      show: (zStar) => {
        const value = this.model.read(attribute, zStar);
        const angle = Math.min(max, Math.max(min, value));
        const [x, y] = at(angle, 88);
        hand.setAttribute("x2", at(angle, 70)[0]);
        hand.setAttribute("y2", at(angle, 70)[1]);
        knob.setAttribute("cx", x);
        knob.setAttribute("cy", y);
        output.textContent = shown(attribute, value);
        svg.setAttribute("aria-valuenow", number(angle, 0));
        svg.setAttribute("aria-valuetext", spoken(attribute, value));
      },
    });
  }

  /** Move every named attribute through its values, one after the other; then back to the start. */
  play() {
    const first = this.zStar.slice();
    const numbers = this.model.attributes.filter((attribute) => !attribute.labels);
    const labels = this.model.attributes.filter((attribute) => attribute.labels);
    const stages = [...numbers, ...labels].map((attribute) => ({ attribute, seconds: attribute.labels ? 0.45 * attribute.labels.length : 3 }));
    const began = performance.now();
    this.button.textContent = "Stop";
    const frame = () => {
      let time = (performance.now() - began) / 1000;
      let stage = 0;
      while (stage < stages.length && time > stages[stage].seconds) time -= stages[stage++].seconds;
      this.zStar = first.slice();
      if (stage === stages.length) {
        this.stop();
        this.update();
        return;
      }
      const { attribute, seconds } = stages[stage];
      if (attribute.labels) {
        this.move(attribute, attribute.labels[Math.min(attribute.labels.length - 1, Math.floor(time / 0.45))]);
      } else {
        const [low, high] = attribute.range;
        const own = Math.min(high, Math.max(low, this.model.read(attribute, first)));
        const wave = Math.sin((2 * Math.PI * time) / seconds);
        this.move(attribute, own + (wave > 0 ? wave * (high - own) : wave * (own - low)));
      }
      this.playing = requestAnimationFrame(frame);
    };
    this.playing = requestAnimationFrame(frame);
  }

  stop() {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.button.textContent = "Play";
  }
}

/** Calls `work` at most once a frame, one call at a time, and once more after the last request. */
function onceAFrame(work) {
  let [asked, busy] = [false, false];
  const next = async () => {
    asked = false;
    try {
      await work();
    } catch (error) {
      fail(error);
    }
    busy = asked;
    if (asked) requestAnimationFrame(next);
  };
  return () => {
    asked = true;
    if (!busy) {
      busy = true;
      requestAnimationFrame(next);
    }
  };
}

/** Rows of a table: attribute, asked, measured. */
function measureTable(table, attributes) {
  const cells = attributes.map((attribute) => {
    const [asked, measured] = [element("td", { class: "asked" }), element("td", { class: "measured" })];
    find("tbody", table).append(element("tr", {}, element("th", { scope: "row" }, title(attribute)), asked, measured));
    return [asked, measured];
  });
  return (asked, measured) =>
    attributes.forEach((attribute, j) => {
      cells[j][0].textContent = shown(attribute, asked[j]);
      cells[j][1].textContent = shown(attribute, measured[j]);
    });
}

// --- Digits and rotated digits ---------------------------------------------------------------

async function samplesOf(spec) {
  const all = await bytes(spec.samples.images, "The test digits");
  const { labels, z_star: zStar } = spec.samples;
  return {
    count: labels.length,
    labels,
    zStar,
    image: (i) => Float32Array.from(all.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE), (value) => value / 255),
  };
}

async function imageView(root, spec, ort) {
  const graphs = await loadGraphs(ort, spec.graphs);
  const model = new Model(spec, graphs.vae, graphs.lens);
  const samples = await samplesOf(spec);
  root.append(find("#image-view").content.cloneNode(true));
  const [label, value] = model.attributes;
  const fill = measureTable(find(".measures", root), model.attributes);
  find(".note", root).textContent = spec.measured;

  const measure = async (pixels) => {
    const { digit, rotation } = await graphs.oracle.judge.run({ images: [pixels, [1, SIDE, SIDE, 1]] });
    return [label.labels[digit[0]], rotation ? rotation[0] : strokeThickness(pixels)];
  };
  const after = find(".after", root);
  const show = onceAFrame(async () => {
    const zStar = controls.zStar.slice();
    const { images } = await model.decode(zStar);
    draw(after, images);
    const asked = model.attributes.map((attribute) => model.read(attribute, zStar));
    const measured = await measure(images);
    fill(asked, measured);
    after.setAttribute("aria-label", `The changed digit: ${measured[0]}`);
    map.mark(zStar);
    root.dataset.z = JSON.stringify(zStar);
    root.dataset.frames = Number(root.dataset.frames ?? 0) + 1;
    say(
      `Asked: digit ${asked[0]}, ${value.name} ${spoken(value, asked[1])}. The image shows digit ${measured[0]}, ` +
        `${value.name} ${spoken(value, measured[1])}.`,
    );
  });
  const controls = new Controls(root, model, show);

  let zShown = null;
  const read = async (zStar) => {
    zShown = zStar;
    draw(find(".before", root), (await model.decode(zStar)).images);
    if (zShown === zStar) controls.set(zStar);
  };
  const pad = drawingPad(
    find(".pad", root),
    onceAFrame(async () => {
      const pixels = asMnist(find(".pad", root));
      if (pixels) await read(await model.encode(pixels));
    }),
  );
  const choose = (i) => {
    map.chosen = i;
    pad.show(samples.image(i));
    return read(samples.zStar[i]);
  };
  const map = drawMap(find(".map", root), samples, [label, value], choose);
  find(".place figcaption", root).textContent =
    `${samples.count} test digits by z*[0], the ${label.name}, and z*[1], the ${value.name}. The ring is the result.`;
  find(".clear", root).addEventListener("click", () => pad.clear());
  find(".random", root).addEventListener("click", () => choose(Math.floor(Math.random() * samples.count)));
  await choose(spec.samples.first);
}

/** Test digits as small figures in two coordinates of z*. Pointing or an arrow key chooses one. */
function drawMap(canvas, samples, [label, value], choose) {
  const axes = [label.dimension, value.dimension];
  const ratio = 2;
  const size = 280;
  [canvas.width, canvas.height] = [size * ratio, size * ratio];
  const limit = 3.2;
  const place = (zStar) => [(zStar[axes[0]] / limit / 2 + 0.5) * size, (0.5 - zStar[axes[1]] / limit / 2) * size];
  const places = samples.zStar.map(place);
  const figures = element("canvas", { width: size * ratio, height: size * ratio });
  const ink = figures.getContext("2d");
  ink.scale(ratio, ratio);
  Object.assign(ink, { font: "600 9px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
  places.forEach(([x, y], i) => {
    ink.fillStyle = COLORS[samples.labels[i]];
    ink.fillText(samples.labels[i], x, y);
  });
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const map = {
    chosen: 0,
    mark(zStar) {
      context.clearRect(0, 0, size, size);
      context.drawImage(figures, 0, 0, size, size);
      const [x, y] = place(zStar).map((part) => Math.min(size - 8, Math.max(8, part)));
      context.lineWidth = 3;
      context.strokeStyle = getComputedStyle(canvas).color;
      context.beginPath();
      context.arc(x, y, 8, 0, 2 * Math.PI);
      context.stroke();
    },
  };
  canvas.setAttribute("aria-label", `Map of ${samples.count} test digits; the arrow keys choose a neighbour`);
  const nearest = (x, y, allowed = () => true) => {
    let [best, least] = [-1, Infinity];
    places.forEach(([a, b], i) => {
      const distance = (a - x) ** 2 + (b - y) ** 2;
      if (distance < least && allowed(a - x, b - y, i)) [best, least] = [i, distance];
    });
    return best;
  };
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    const next = nearest(((event.clientX - box.left) / box.width) * size, ((event.clientY - box.top) / box.height) * size);
    if (next !== map.chosen) choose(next);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    point(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && point(event));
  canvas.addEventListener("keydown", (event) => {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!(event.key in directions)) return;
    event.preventDefault();
    const [dx, dy] = directions[event.key];
    // Neighbours within 45 degrees of the direction.
    const next = nearest(...places[map.chosen], (x, y, i) => i !== map.chosen && x * dx + y * dy > Math.abs(x * dy - y * dx));
    if (next >= 0) {
      choose(next);
      say(`Test digit ${samples.labels[next]}`);
    }
  });
  return map;
}

// --- A change and the way back ---------------------------------------------------------------

async function undoView(root, spec, ort) {
  if (!spec.inverse) {
    throw new Sentence('This explorer was made without the run invertible-mnist, which this view needs: run "make explorer".');
  }
  const graphs = await loadGraphs(ort, { ...spec.graphs, inverse: spec.inverse.graphs });
  const samples = await samplesOf(spec);
  root.append(find("#undo-view").content.cloneNode(true));
  const lenses = [
    ["FILVM", new Model(spec, graphs.vae, graphs.lens)],
    ["Invertible lens", new Model(spec, graphs.vae, graphs.inverse, spec.inverse.attributes)],
  ];
  const rows = lenses.map(([name]) => {
    const cells = ["as read", "changed", "and back", "lost"].map((what) => {
      const canvas = element("canvas", { class: "digit", width: SIDE, height: SIDE, role: "img", "aria-label": `${name}: ${what}` });
      return [canvas, element("small")];
    });
    const row = element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((cell) => element("td", {}, ...cell)));
    find("tbody", root).append(row);
    return cells;
  });
  const target = find(".target", root);
  let [sample, asked] = [spec.samples.first, 3];
  const show = onceAFrame(async () => {
    const z = await lenses[0][1].latents(samples.image(sample));
    const words = [];
    for (const [k, [name, model]] of lenses.entries()) {
      const attribute = model.attributes[0];
      const steps = await changedAndBack(model, z, attribute, attribute.labels[asked]);
      const images = [];
      for (const latents of [z, ...steps]) images.push((await model.observe(latents)).images);
      const lost = images[2].map((value, i) => Math.abs(value - images[0][i]));
      const most = Math.max(...lost);
      [...images, lost].forEach((pixels, i) => draw(rows[k][i][0], pixels));
      rows[k][3][1].textContent = `at most ${most < 0.0005 ? "0.000" : most.toFixed(3)} of 1`;
      words.push(`${name}: a pixel differs by at most ${most.toFixed(3)}`);
    }
    root.dataset.frames = Number(root.dataset.frames ?? 0) + 1;
    say(`Digit ${samples.labels[sample]} changed into ${asked} and back. ${words.join(". ")}.`);
  });
  spec.attributes[0].labels.forEach((label, k) => {
    const input = element("input", { type: "radio", name: "undo-target", value: label });
    input.checked = k === asked;
    input.addEventListener("change", () => {
      asked = k;
      show();
    });
    target.append(element("label", {}, input, element("span", {}, String(label))));
  });
  find(".random", root).addEventListener("click", () => {
    sample = Math.floor(Math.random() * samples.count);
    show();
  });
  show();
}

// --- Sequences -------------------------------------------------------------------------------

async function sequenceView(root, spec, ort) {
  const graphs = await loadGraphs(ort, spec.graphs);
  const model = new Model(spec, graphs.vae, graphs.lens);
  const longest = spec.input.shape[0];
  root.append(find("#sequence-view").content.cloneNode(true));
  const fill = measureTable(find(".measures", root), model.attributes);
  const byName = (values) => Object.fromEntries(model.attributes.map(({ name }, j) => [name, values[j]]));
  const show = onceAFrame(async () => {
    const zStar = controls.zStar.slice();
    const { sequences, lengths } = await model.decode(zStar);
    const numbers = Array.from(sequences.slice(0, lengths[0]));
    const asked = model.attributes.map((attribute) => model.read(attribute, zStar));
    const found = { start: numbers[0], step: (numbers.at(-1) - numbers[0]) / (numbers.length - 1), length: numbers.length };
    const measured = model.attributes.map(({ name }) => found[name]);
    fill(asked, measured);
    find(".numbers", root).textContent = numbers.map((value) => value.toFixed(0)).join(", ");
    chart(find(".chart", root), numbers, byName(asked), longest);
    root.numbers = numbers;
    root.dataset.z = JSON.stringify(zStar);
    root.dataset.frames = Number(root.dataset.frames ?? 0) + 1;
    const words = model.attributes.map((attribute, j) => `${attribute.name} ${shown(attribute, measured[j])}, asked ${shown(attribute, asked[j])}`);
    say(`A sequence of ${numbers.length} numbers from ${number(numbers[0], 0)} to ${number(numbers.at(-1), 0)}: ${words.join("; ")}.`);
  });
  const controls = new Controls(root, model, show);
  const form = find(".own", root);
  const fault = find(".fault", form);
  const read = async (numbers) => {
    const padded = new Float32Array(longest);
    padded.set(numbers);
    controls.set(await model.encode(padded));
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const words = find("input", form).value.split(/[\s,;]+/).filter(Boolean);
    const numbers = words.map(Number);
    fault.textContent = "";
    if (numbers.length < 2 || numbers.length > longest || !numbers.every((value) => value > 0 && value <= 1e6)) {
      fault.textContent = `Expected 2 to ${longest} positive numbers with commas between them, such as 40, 60, 80.`;
      return;
    }
    await read(numbers).catch(fail);
  });
  find("input", form).value = spec.example.join(", ");
  await read(spec.example);
}

/** The numbers of a sequence as points, and the asked sequence as a dashed line. */
function chart(svg, numbers, asked, longest) {
  const line = Number.isFinite(asked.start + asked.step + asked.length)
    ? [0, Math.max(1, asked.length - 1)].map((t) => [t, asked.start + asked.step * t])
    : [];
  const highest = Math.max(...numbers, ...line.map(([, y]) => y));
  const top = [50, 100, 250, 500, 1000, 1500, 2000, 2500].find((value) => value >= highest) ?? highest;
  const x = (t) => 52 + (t / (longest - 1)) * 536;
  const y = (value) => 228 - (Math.max(0, value) / top) * 212;
  const points = numbers.map((value, t) => [x(t), y(value)]);
  svg.replaceChildren(
    ...[0, top / 2, top].flatMap((value) => [
      element("line", { class: "axis", x1: 52, x2: 588, y1: y(value), y2: y(value) }),
      element("text", { x: 46, y: y(value) + 5, "text-anchor": "end" }, String(value)),
    ]),
    ...[1, 10, 20, 30].filter((t) => t <= longest).map((t) => element("text", { x: x(t - 1), y: 250, "text-anchor": "middle" }, String(t))),
    element("polyline", { class: "asked", points: line.map(([t, value]) => `${x(t)},${y(value)}`).join(" ") }),
    element("polyline", { class: "shown", points: points.join(" ") }),
    ...points.map(([cx, cy]) => element("circle", { cx, cy, r: 4 })),
  );
  svg.setAttribute("aria-label", `Chart of ${numbers.length} numbers; dashed: the asked sequence`);
}

// --- Words -----------------------------------------------------------------------------------

async function wordView(root, spec, ort) {
  const graphs = await loadGraphs(ort, spec.graphs);
  const model = new Model(spec, graphs.vae, graphs.lens);
  const longest = spec.input.shape[0];
  root.append(find("#word-view").content.cloneNode(true));
  const fill = measureTable(find(".measures", root), model.attributes);
  /** A word -> the numbers of its letters, from 1; 0 after its end. null: a letter is unknown. */
  const numbersOf = (word) => {
    const numbers = Array.from(word, (letter) => spec.alphabet.indexOf(letter) + 1);
    return numbers.includes(0) ? null : [...numbers, ...Array(Math.max(0, longest - numbers.length)).fill(0)];
  };
  const show = onceAFrame(async () => {
    const zStar = controls.zStar.slice();
    const { tokens } = await model.decode(zStar);
    const letters = Array.from(tokens).filter((number) => number > 0).map((number) => spec.alphabet[number - 1]);
    const back = await model.encode(tokens);
    const asked = model.attributes.map((attribute) => model.read(attribute, zStar));
    const measured = model.attributes.map((attribute) => (attribute.labels ? model.read(attribute, back) : letters.length));
    find(".word", root).textContent = letters.join("");
    fill(asked, measured);
    root.dataset.z = JSON.stringify(zStar);
    root.dataset.frames = Number(root.dataset.frames ?? 0) + 1;
    const words = model.attributes.map((attribute, j) => `${attribute.name} ${spoken(attribute, measured[j])}, asked ${spoken(attribute, asked[j])}`);
    say(`The word ${letters.join("")}: ${words.join("; ")}.`);
  });
  const controls = new Controls(root, model, show);
  const form = find(".own", root);
  const fault = find(".fault", form);
  const read = async (word) => controls.set(await model.encode(numbersOf(word)));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const word = find("input", form).value.trim().toLowerCase();
    const fits = word && Array.from(word).length <= longest && numbersOf(word);
    fault.textContent = fits ? "" : `Expected one word of at most ${longest} letters out of ${spec.alphabet.join("")}.`;
    if (fits) await read(word).catch(fail);
  });
  find("input", form).value = spec.example;
  await read(spec.example);
}

// --- The page --------------------------------------------------------------------------------

const VIEWS = {
  digits: [imageView, "digits", "filvm-mnist"],
  rotated: [imageView, "rotated", "filvm-mnist-r"],
  undo: [undoView, "digits", "filvm-mnist"],
  sequences: [sequenceView, "sequences", "filvm-sequences"],
  words: [wordView, "words", "filvm-words"],
};

function fail(error) {
  const status = find("#status");
  status.className = "fault";
  status.textContent = error instanceof Sentence ? error.message : `The models cannot be run here: ${error.message ?? error}`;
}

const ready = {};
let current = "";

async function open(name) {
  current = name;
  for (const other of Object.keys(VIEWS)) {
    const tab = find(`#tab-${other}`);
    tab.setAttribute("aria-selected", String(other === name));
    tab.tabIndex = other === name ? 0 : -1;
    find(`#${other}`).hidden = other !== name;
  }
  const status = find("#status");
  status.className = "";
  status.textContent = "Loading the models …";
  try {
    const { manifest, ort } = await start();
    const [view, key, run] = VIEWS[name];
    if (!manifest.views[key]) {
      throw new Sentence(`This explorer was made without the run ${run}, which this view needs: run "make explorer".`);
    }
    ready[name] ??= view(find(`#${name}`), manifest.views[key], ort);
    await ready[name];
    if (current === name) status.textContent = "";
  } catch (error) {
    if (current === name) fail(error);
  }
}

let started;
function start() {
  started ??= (async () => {
    const [manifest, files] = await Promise.all([
      json("explorer.json", "The list of models"),
      json("runtime.json", "The address of onnxruntime-web"),
    ]);
    find("#about").textContent = manifest.about;
    return { manifest, ort: await loadRuntime(files) };
  })();
  return started;
}

find('[role="tablist"]').addEventListener("click", (event) => {
  const tab = event.target.closest('[role="tab"]');
  if (tab) location.hash = tab.getAttribute("aria-controls");
});
find('[role="tablist"]').addEventListener("keydown", (event) => {
  const names = Object.keys(VIEWS);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const next = names[(names.indexOf(current) + step + names.length) % names.length];
  location.hash = next;
  find(`#tab-${next}`).focus();
});
const openFromAddress = () => open(location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "digits");
addEventListener("hashchange", openFromAddress);
if (location.protocol !== "file:") openFromAddress();
