// One LiteRT.js instance and the models in it. It says what really runs, since the runtime falls back silently.
import * as core from "../runtime/index.js";

const RUNTIME = new URL("../runtime/", import.meta.url).href;
const ARRAYS = { float32: Float32Array, uint8: Uint8Array };
const NAMES = { wasm: "wasm", xnnpack: "wasm", none: "wasm", webgpu: "webgpu", gpu: "webgpu", webnn: "webnn" };

let complaint = "";

// What the runtime prints: of its talk only the last complaint is kept, for who has to explain a failure.
function heard(line) {
  if (/^(INFO|WARNING|VERBOSE)/.test(line)) return;
  complaint = line;
  console.error(line);
}

export class Fault extends Error {
  // As the runner's faults: {code, problem, hint}.
  constructor(code, problem, hint) {
    super(problem);
    this.code = code;
    this.hint = hint;
  }

  event() {
    return { event: "error", code: this.code, problem: this.message, hint: this.hint };
  }
}

// Loads the runtime, which can be done once in a Worker: {accelerator, threads, variant, loadNs, gpu}.
export async function loadRuntime(accelerator, threads) {
  const asked = NAMES[accelerator];
  if (asked === undefined) {
    throw new Fault("unknown-delegate", `no accelerator '${accelerator}'`, "use one of: wasm, webgpu, webnn");
  }
  await checkThere(asked);
  if (asked === "wasm") {
    // The runtime opens the GPU also where it isn't wanted, which costs a phone a tenth of a second and memory.
    Object.defineProperty(navigator, "gpu", { value: undefined });
  }
  const relaxed = await core.supportsFeature("relaxedSimd");
  const threaded = asked === "wasm" && threads > 1 && relaxed && self.crossOriginIsolated;
  // Without JSPI a graph that is not wholly the GPU's cannot be split.
  const jspi = asked !== "wasm" && relaxed && (await core.supportsFeature("jspi"));
  self.Module = {
    locateFile: (name) => `${RUNTIME}wasm/${name}`,
    mainScriptUrlOrBlob: `${RUNTIME}wasm/litert_wasm_threaded_internal.js`,
    printErr: heard,
  };
  const started = performance.now();
  const { warn } = console;
  // It warns of the GPU that it was denied above.
  if (asked === "wasm") console.warn = () => {};
  await core.loadLiteRt(`${RUNTIME}wasm/`, { threads: threaded, jspi });
  console.warn = warn;
  const loadNs = Math.round((performance.now() - started) * 1e6);
  return {
    accelerator: asked,
    threads: threaded ? threads : 1,
    variant: !relaxed ? "compat" : threaded ? "simd+threads" : jspi ? "simd+jspi" : "simd",
    loadNs,
    gpu: asked === "wasm" ? null : gpuOf(core.getWebGpuDevice()),
  };
}

async function checkThere(accelerator) {
  if (accelerator === "webgpu" && !(await navigator.gpu?.requestAdapter())) {
    const why = navigator.gpu ? "this device has no adapter for it" : "this browser has no WebGPU here";
    throw new Fault("no-accelerator", `webgpu: ${why}`, "use wasm; WebGPU also needs https or localhost");
  }
  if (accelerator === "webnn" && !("ml" in navigator)) {
    throw new Fault("no-accelerator", "webnn: this browser has none here", "use wasm, or a browser with WebNN enabled");
  }
}

function gpuOf(device) {
  const info = device?.adapterInfo;
  if (!info) return null;
  const { vendor, architecture, description } = info;
  const software = info.isFallbackAdapter === true || /swiftshader|llvmpipe/i.test(`${architecture} ${description}`);
  return { vendor, architecture, device: info.device, description, software };
}

// Bytes of WebAssembly memory, which only grows.
export function heapBytes() {
  return core.getGlobalLiteRt().liteRtWasm.HEAPU8.byteLength;
}

// A .tflite, compiled: one picture in, one row of scores out.
export class Engine {
  // bytes: Uint8Array. Throws Fault where it is no such model.
  static async open(name, bytes, runtime, precision = "float32") {
    const started = performance.now();
    let model;
    try {
      model = await core.loadAndCompile(bytes, {
        accelerator: runtime.accelerator,
        cpuOptions: { numThreads: runtime.threads },
        gpuOptions: { precision: precision === "float16" ? "fp16" : "fp32" },
      });
    } catch (error) {
      throw new Fault(
        "bad-model",
        `${name}: LiteRT.js refuses it: ${firstLine(error)} ${complaint}`.trim(),
        "float32 or uint8 inputs and outputs and a batch of 1 are what it takes; make the file again",
      );
    }
    return new Engine(name, model, runtime, Math.round((performance.now() - started) * 1e6));
  }

  constructor(name, model, runtime, compileNs) {
    this.name = name;
    this.compileNs = compileNs;
    this.input = only(model.getInputDetails(), name, "input");
    this.output = only(model.getOutputDetails(), name, "output");
    this.size = this.input.shape.reduce((product, side) => product * side, 1);
    this.array = ARRAYS[this.input.dtype];
    if (this.input.shape[0] !== 1 || !this.array || !ARRAYS[this.output.dtype]) {
      const found = `${this.input.dtype} ${this.input.shape} -> ${this.output.dtype} ${this.output.shape}`;
      throw new Fault("bad-model", `${name}: ${found}`, "float32 or uint8 and a batch of 1 is what runs here");
    }
    this.accelerator = {
      asked: runtime.accelerator,
      actual: model.options.accelerator,
      // Of wasm the runtime says false, though XNNPACK runs it: there is no accelerator to be full of.
      fully: model.isFullyAccelerated,
      variant: runtime.variant,
      threads: runtime.threads,
      gpu: runtime.gpu,
    };
    this.model = model;
    this.shape = [...this.input.shape];
  }

  // values: `size` values of the input's dtype. The caller deletes what it gets.
  tensor(values) {
    return new core.Tensor(values, this.shape);
  }

  // Runs it to the end: on a GPU the answer is fetched, as without that only the order to compute would be timed.
  async invoke(tensor) {
    const [output] = await this.model.run(tensor);
    return output.accelerator === "wasm" ? output : output.moveTo("wasm");
  }

  // Raw outputs of one picture, of the output's dtype.
  async classify(values) {
    const input = this.tensor(values);
    try {
      const output = await this.invoke(input);
      const raw = output.toTypedArray().slice();
      output.delete();
      return raw;
    } catch (error) {
      throw new Fault("bad-model", `${this.name}: it loads, but does not run: ${firstLine(error)}`, "make it again");
    } finally {
      input.delete();
    }
  }

  close() {
    this.model.delete();
  }
}

function only(details, name, what) {
  if (details.length !== 1) {
    throw new Fault("bad-model", `${name}: ${details.length} ${what}s, not one`, "one picture in, one row out");
  }
  const [{ name: tensor, dtype, shape }] = details;
  return { name: tensor, dtype, shape: [...shape] };
}

export function firstLine(error) {
  return `${error?.message ?? error}`.split("\n")[0].slice(0, 300);
}
