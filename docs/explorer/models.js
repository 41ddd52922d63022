// Models in the browser: onnxruntime-web, the graphs of a lens, and the stroke's thickness.

// --- onnxruntime-web -------------------------------------------------------------------------

/** An error whose message is for the reader of the page. */
export class Sentence extends Error {}

async function fetched(url, what, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Sentence(`${what} cannot be loaded from ${url}: check the connection, then reload.`);
  }
  if (!response.ok) {
    throw new Sentence(`${what} is missing: ${url} answers ${response.status}. Run "make explorer".`);
  }
  return response;
}

/** A JSON file. */
export async function json(url, what) {
  return (await fetched(url, what)).json();
}

/** The bytes of a file. */
export async function bytes(url, what) {
  return new Uint8Array(await (await fetched(url, what)).arrayBuffer());
}

/**
 * Load onnxruntime-web: {module, wasm}, each {url, integrity}. Both files are checked against their
 * hashes, from wherever they come. One thread: more would need special headers from the server.
 */
export async function loadRuntime(files) {
  if (typeof WebAssembly !== "object") {
    throw new Sentence("This browser has no WebAssembly, which runs the models: use a newer one.");
  }
  const [module, wasm] = await Promise.all(
    [files.module, files.wasm].map(async ({ url, integrity }) =>
      (await fetched(url, "onnxruntime-web", { integrity })).arrayBuffer(),
    ),
  );
  const address = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
  const ort = await import(address);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1;
  return ort;
}

const weights = new Map(); // address -> promise of the bytes

/** One ONNX graph. `run` takes and returns arrays of numbers by name. */
export class Graph {
  constructor(ort, session) {
    this.ort = ort;
    this.session = session;
  }

  /** The graph at an address; its weights are in weights.bin beside it. */
  static async load(ort, url) {
    const place = url.replace(/[^/]*$/, "weights.bin");
    if (!weights.has(place)) weights.set(place, bytes(place, "A model"));
    const [model, data] = await Promise.all([bytes(url, "A model"), weights.get(place)]);
    const externalData = [{ path: "weights.bin", data }];
    const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], externalData });
    return new Graph(ort, session);
  }

  /** inputs: {name: [numbers, shape]} -> {name: Float32Array}. */
  async run(inputs) {
    const feeds = {};
    for (const [name, [numbers, shape]] of Object.entries(inputs)) {
      feeds[name] = new this.ort.Tensor("float32", Float32Array.from(numbers), shape);
    }
    const outputs = await this.session.run(feeds);
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]));
  }
}

// --- A VAE and a lens ------------------------------------------------------------------------

/** The graphs of a view: {part: {signature: url}} -> {part: {signature: Graph}}, each loaded once. */
const loaded = new Map();

export async function loadGraphs(ort, urls) {
  const parts = {};
  for (const [part, signatures] of Object.entries(urls)) {
    parts[part] = {};
    for (const [signature, url] of Object.entries(signatures)) {
      if (!loaded.has(url)) loaded.set(url, Graph.load(ort, url));
      parts[part][signature] = await loaded.get(url);
    }
  }
  return parts;
}

/** x -> z* -> x with the graphs of a VAE and of a lens. x is an image or a sequence. */
export class Model {
  /** spec: {latent_dim, input: {name, shape}, attributes}; graphs: {vae, lens}. */
  constructor(spec, vae, lens, attributes = spec.attributes) {
    Object.assign(this, { spec, vae, lens, attributes });
  }

  async latents(x) {
    const { name, shape } = this.spec.input;
    return (await this.vae.encode.run({ [name]: [x, [1, ...shape]] })).z_mean;
  }

  /** z -> z*, as an array of numbers. */
  async infer(z) {
    return Array.from((await this.lens.encode.run({ z: [z, [1, this.spec.latent_dim]] })).z_star);
  }

  async generate(zStar) {
    return (await this.lens.decode.run({ z_star: [zStar, [1, this.spec.latent_dim]] })).z;
  }

  async observe(z) {
    return this.vae.decode.run({ z: [z, [1, this.spec.latent_dim]] });
  }

  async encode(x) {
    return this.infer(await this.latents(x));
  }

  async decode(zStar) {
    return this.observe(await this.generate(zStar));
  }

  /** The value of an attribute that z* contains, as the lens's linear head reads it. */
  read(attribute, zStar) {
    const coordinate = zStar[attribute.dimension];
    if (attribute.labels) {
      const logits = attribute.slopes.map((slope, k) => slope * coordinate + attribute.offsets[k]);
      return attribute.labels[logits.indexOf(Math.max(...logits))];
    }
    const [low, high] = attribute.range;
    const [first, last] = attribute.coordinates;
    return low + ((coordinate - first) / (last - first)) * (high - low);
  }

  /** The coordinate z*_j at which the attribute has a value: the inverse of `read`. */
  coordinate(attribute, value) {
    if (attribute.labels) return attribute.coordinates[attribute.labels.indexOf(value)];
    const [low, high] = attribute.range;
    const [first, last] = attribute.coordinates;
    return first + ((value - low) / (high - low)) * (last - first);
  }
}

/** Change attribute j of z to a label and set z*_j back: z after each of the two steps. */
export async function changedAndBack(model, z, attribute, value) {
  const zStar = await model.infer(z);
  const changed = zStar.slice();
  changed[attribute.dimension] = model.coordinate(attribute, value);
  const zChanged = await model.generate(changed);
  const again = await model.infer(zChanged);
  again[attribute.dimension] = zStar[attribute.dimension];
  return [zChanged, await model.generate(again)];
}

// --- The thickness of a stroke, as filvm.data.stroke_thickness measures it -------------------

const UPSCALE = 4;
const MARGIN = 6; // pixels of background around a stroke that runs along the border

/** The matrix [4n][n] of a cubic spline through n pixels, mirrored at the centres of the edges. */
function splineMatrix(n) {
  const mirrored = (i) => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i);
  const coefficients = Array.from({ length: n }, (_, unit) => {
    // (c[i-1] + 4 c[i] + c[i+1]) / 6 = (i == unit), tridiagonal; at the edges c[-1] = c[1].
    const upper = new Float64Array(n);
    const value = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      const below = i === 0 ? 0 : i === n - 1 ? 2 : 1;
      const above = i === 0 ? 2 : 1;
      const pivot = 4 - below * (i ? upper[i - 1] : 0);
      upper[i] = above / pivot;
      value[i] = ((i === unit ? 6 : 0) - below * (i ? value[i - 1] : 0)) / pivot;
    }
    for (let i = n - 2; i >= 0; i--) value[i] -= upper[i] * value[i + 1];
    return value;
  });
  return Array.from({ length: UPSCALE * n }, (_, row) => {
    const place = (row + 0.5) / UPSCALE - 0.5;
    const base = Math.floor(place);
    const t = place - base;
    const weights = [(1 - t) ** 3, 4 - 6 * t ** 2 + 3 * t ** 3, 1 + 3 * t + 3 * t ** 2 - 3 * t ** 3, t ** 3];
    return Float64Array.from({ length: n }, (_, unit) =>
      weights.reduce((sum, w, k) => sum + (w / 6) * coefficients[unit][mirrored(base - 1 + k)], 0),
    );
  });
}

/** A Gaussian of sigma 2 * 4 / 6 along the rows of a square image, mirrored at its edges. */
function blurRows(image, size) {
  const sigma = (2 * UPSCALE) / 6;
  const radius = Math.floor(4 * sigma + 0.5);
  const kernel = Array.from({ length: 2 * radius + 1 }, (_, k) => Math.exp(-0.5 * ((k - radius) / sigma) ** 2));
  const total = kernel.reduce((a, b) => a + b);
  const result = new Float64Array(size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let sum = 0;
      for (let k = -radius; k <= radius; k++) {
        let i = x + k;
        if (i < 0) i = -1 - i;
        if (i >= size) i = 2 * size - 1 - i;
        sum += kernel[k + radius] * image[y * size + i];
      }
      result[y * size + x] = sum / total;
    }
  }
  return result;
}

function transposed(image, rows, columns) {
  const result = new Float64Array(image.length);
  for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) result[x * rows + y] = image[y * columns + x];
  return result;
}

const matrices = new Map();

/** A square image, enlarged 4 times and blurred, in 0 ... 255. */
function upsample(image, n) {
  if (!matrices.has(n)) matrices.set(n, splineMatrix(n));
  const matrix = matrices.get(n);
  const size = UPSCALE * n;
  const times = (pixels, rows) => {
    // [rows][n] times the matrix's transpose
    const result = new Float64Array(rows * size);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < size; x++) {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += pixels[y * n + i] * matrix[x][i];
        result[y * size + x] = sum;
      }
    }
    return result;
  };
  let large = transposed(times(image, n), n, size); // [size][n]
  large = transposed(times(large, size), size, size);
  const low = Math.min(...image);
  const high = Math.max(...image);
  large = large.map((value) => Math.min(high, Math.max(low, value)));
  large = transposed(blurRows(large, size), size, size);
  large = transposed(blurRows(large, size), size, size);
  return Uint8Array.from(large, (value) => Math.min(255, Math.max(0, 255 * value)));
}

/** Of every pattern of 3 x 3 pixels (bit 4: the centre), whether the medial axis keeps its centre. */
const kept = Array.from({ length: 512 }, (_, pattern) => {
  const components = (bits) => {
    let left = bits;
    let count = 0;
    while (left) {
      let grown = left & -left;
      for (let before = 0; before !== grown; ) {
        before = grown;
        for (let a = 0; a < 9; a++) {
          if (!((grown >> a) & 1)) continue;
          for (let b = 0; b < 9; b++) {
            const near = Math.abs((a % 3) - (b % 3)) <= 1 && Math.abs(Math.floor(a / 3) - Math.floor(b / 3)) <= 1;
            if (near && (left >> b) & 1) grown |= 1 << b;
          }
        }
      }
      left &= ~grown;
      count++;
    }
    return count;
  };
  const size = pattern.toString(2).replaceAll("0", "").length;
  return Boolean(pattern & 16) && (components(pattern) !== components(pattern & ~16) || size < 3);
});

/** Squared distances to the nearest background pixel, [size][size]. */
function squaredDistances(binary, size) {
  const far = 4 * size;
  const down = new Float64Array(size * size);
  for (let x = 0; x < size; x++) {
    let run = far;
    for (let y = 0; y < size; y++) down[y * size + x] = run = binary[y * size + x] ? run + 1 : 0;
    run = far;
    for (let y = size - 1; y >= 0; y--) {
      run = binary[y * size + x] ? run + 1 : 0;
      down[y * size + x] = Math.min(down[y * size + x], run);
    }
  }
  const squares = new Float64Array(size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (!binary[y * size + x]) continue;
      let least = Infinity;
      for (let i = 0; i < size; i++) least = Math.min(least, (x - i) ** 2 + down[y * size + i] ** 2);
      squares[y * size + x] = least;
    }
  }
  return squares;
}

/** A fixed order of the numbers 0 ... n - 1 that looks random: it breaks ties of the medial axis. */
function shuffled(n) {
  const order = Array.from({ length: n }, (_, i) => i);
  let state = 1;
  for (let i = n - 1; i > 0; i--) {
    state = (state * 48271) % 2147483647;
    const j = state % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/**
 * The mean thickness of the strokes of an image, in its pixels; NaN for an image without contrast.
 *
 * Enlarged 4 times, cut at half of the contrast, thinned to the medial axis: twice the mean distance
 * from the axis to the background. The axis is not unique. Ties are broken in another order than in
 * Python, so the two differ by 0.01 px or so.
 */
export function strokeThickness(image, n = Math.sqrt(image.length)) {
  const upsampled = upsample(image, n);
  const size = UPSCALE * n;
  const low = upsampled.reduce((a, b) => Math.min(a, b));
  const high = upsampled.reduce((a, b) => Math.max(a, b));
  if (Math.max(...image) - Math.min(...image) < 0.999 / 255 || high - low < 1) return NaN;
  const binary = upsampled.map((value) => (value >= (low + high) / 2 ? 1 : 0));
  if (alongBorder(binary, size)) return strokeThickness(withMargin(image, n), n + 2 * MARGIN);

  const squares = squaredDistances(binary, size);
  const pattern = (at) => {
    const [y, x] = [Math.floor(at / size), at % size];
    let bits = 0;
    for (let k = 0; k < 9; k++) {
      const [row, column] = [y - 1 + Math.floor(k / 3), x - 1 + (k % 3)];
      if (row >= 0 && row < size && column >= 0 && column < size) bits |= binary[row * size + column] << k;
    }
    return bits;
  };
  const foreground = [];
  binary.forEach((value, at) => value && foreground.push(at));
  const background = foreground.map((at) => 9 - pattern(at).toString(2).replaceAll("0", "").length);
  const ties = shuffled(foreground.length);
  const order = foreground.map((_, i) => i);
  order.sort(
    (a, b) => squares[foreground[a]] - squares[foreground[b]] || background[a] - background[b] || ties[a] - ties[b],
  );
  for (const i of order) if (!kept[pattern(foreground[i])]) binary[foreground[i]] = 0;
  let sum = 0;
  let count = 0;
  for (const at of foreground) {
    if (binary[at]) {
      sum += Math.sqrt(squares[at]);
      count++;
    }
  }
  return ((sum / count) * 2) / UPSCALE;
}

/** Whether more than 5 px of one side of an enlarged image are foreground, in a row. */
function alongBorder(binary, size) {
  const sides = [(i) => i, (i) => size * (size - 1) + i, (i) => size * i, (i) => size * i + size - 1];
  return sides.some((at) => {
    let run = 0;
    for (let i = 0; i < size; i++) {
      run = binary[at(i)] ? run + 1 : 0;
      if (run > 5 * UPSCALE) return true;
    }
    return false;
  });
}

function withMargin(image, n) {
  const wide = n + 2 * MARGIN;
  const result = new Float64Array(wide * wide).fill(Math.min(...image));
  for (let y = 0; y < n; y++) result.set(image.slice(y * n, y * n + n), (y + MARGIN) * wide + MARGIN);
  return result;
}
