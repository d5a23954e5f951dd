// Which build of LiteRT.js's WebAssembly this browser runs, and that build compiled: fetched once by the page for all its
// Workers.
import { Fault } from "./fault.js";
import { nowNs } from "./clock.js";
import { fetchKept } from "./kept.js";

const FOLDER = new URL("../runtime/wasm/", import.meta.url).href;
const ACCELERATORS = { wasm: "wasm", xnnpack: "wasm", none: "wasm", webgpu: "webgpu", gpu: "webgpu", webnn: "webnn" };
// A module with a relaxed SIMD instruction, which a browser without them refuses.
const RELAXED_SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
];
const FILES = { compat: "_compat", simd: "", "simd+threads": "_threaded", "simd+jspi": "_jspi" };

export const hasRelaxedSimd = () => WebAssembly.validate(Uint8Array.from(RELAXED_SIMD));
export const hasThreads = () => self.crossOriginIsolated === true && typeof SharedArrayBuffer === "function";
export const hasJspi = () => "Suspending" in WebAssembly;

// {accelerator, variant, threads} for what is asked for. Throws Fault where there is no such accelerator.
export function variantOf(delegate, threads) {
  const accelerator = ACCELERATORS[delegate];
  if (accelerator === undefined) {
    throw new Fault("unknown-delegate", `no accelerator '${delegate}'`, "use one of: wasm, webgpu, webnn");
  }
  if (!hasRelaxedSimd()) return { accelerator, variant: "compat", threads: 1 };
  if (accelerator === "wasm") {
    return threads > 1 && hasThreads()
      ? { accelerator, variant: "simd+threads", threads }
      : { accelerator, variant: "simd", threads: 1 };
  }
  // Without JSPI a graph that is not wholly the GPU's cannot be split.
  return { accelerator, variant: hasJspi() ? "simd+jspi" : "simd", threads: 1 };
}

export function scriptOf(variant) {
  return `${FOLDER}litert_wasm${FILES[variant]}_internal.js`;
}

const compiled = new Map();
const loaders = new Map();

// The script that loads the runtime, with which a Worker begins.
export async function loaderFor(delegate, threads) {
  return once(loaders, variantOf(delegate, threads).variant, async (variant) => (await fetched(scriptOf(variant))).text());
}

// All that a Worker needs to load the runtime: what variantOf gives, `wasm` compiled, and how long that took once.
export async function runtimeFor(delegate, threads) {
  const wanted = variantOf(delegate, threads);
  return { ...wanted, ...(await once(compiled, wanted.variant, compile)) };
}

// What was made of a variant before; what failed is tried again.
async function once(made, variant, make) {
  if (!made.has(variant)) made.set(variant, make(variant));
  try {
    return await made.get(variant);
  } catch (error) {
    made.delete(variant);
    throw error;
  }
}

async function compile(variant) {
  const started = nowNs();
  const response = await fetched(scriptOf(variant).replace(/js$/, "wasm"));
  // A host that names another type of content is read whole first.
  const streams = response.headers.get("content-type")?.startsWith("application/wasm");
  const wasm = streams
    ? await WebAssembly.compileStreaming(response)
    : await WebAssembly.compile(await response.arrayBuffer());
  return { wasm, fetchNs: nowNs() - started };
}

async function fetched(url) {
  const response = await fetchKept(url);
  if (!response.ok) throw new Error(`${url}: the host answered ${response.status}`);
  return response;
}
