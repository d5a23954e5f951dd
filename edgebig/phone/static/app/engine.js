// One LiteRT.js instance and the models in it. It says what really runs, since the runtime falls back silently.
import * as core from "../runtime/index.js";
import { Fault, firstLine } from "./fault.js";
import { nowNs } from "./clock.js";
import { scriptOf } from "./variant.js";

const ARRAYS = { float32: Float32Array, uint8: Uint8Array };

let complaint = "";

// What the runtime prints: of its talk only the last complaint is kept, for who has to explain a failure.
function heard(line) {
  if (/^(INFO|WARNING|VERBOSE|[IW]\d{4} )/.test(line)) return;
  complaint = line;
  console.error(line);
}

// Loads the runtime, which can be done once in a Worker. runtime: as runtimeFor of variant.js gives it; with it comes back
// {loadNs, gpu}.
export async function loadRuntime(runtime) {
  const { accelerator, variant, wasm } = runtime;
  await checkThere(accelerator);
  if (accelerator === "wasm") {
    // The runtime opens the GPU also where it isn't wanted, which costs a phone a tenth of a second and memory.
    Object.defineProperty(navigator, "gpu", { value: undefined });
  }
  const started = nowNs();
  // Of an instance that cannot be made, as where memory is short, the runtime's own loader would never tell.
  const failed = new Promise((_, reject) => {
    const instantiateWasm = (imports, done) => {
      WebAssembly.instantiate(wasm, imports).then((instance) => done(instance, wasm), reject);
      return {};
    };
    self.Module = { instantiateWasm, mainScriptUrlOrBlob: scriptOf(variant), printErr: heard };
  });
  // The loader is here already: this Worker's script begins with it.
  self.importScripts = () => {};
  const { warn } = console;
  // It warns of the GPU that it was denied above.
  if (accelerator === "wasm") console.warn = () => {};
  await Promise.race([core.loadLiteRt(scriptOf(variant)), failed]);
  console.warn = warn;
  return { ...runtime, loadNs: nowNs() - started, gpu: accelerator === "wasm" ? null : gpuOf(core.getWebGpuDevice()) };
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
    const started = nowNs();
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
    return new Engine(name, model, runtime, nowNs() - started);
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
