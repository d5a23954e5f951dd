/**
 * The steps that cost most, as WebAssembly with SIMD where the browser has that: the same numbers, in a fifth of the
 * time. tools/preprocess_kernels.c is their source.
 *
 * A kernel works on arrays that `allocate` gave; where one lies elsewhere, or there is no WebAssembly (an old browser,
 * a Content-Security-Policy without 'wasm-unsafe-eval'), `kernels(...)` is null, and the caller's own JavaScript works.
 */

import { KERNELS } from "./kernels_wasm.js";

const PAGE = 65536;
const PER_PIXEL = 64; // bytes of all arrays of a frame, by its pixels; what is not used is no memory, only addresses
const SPARE = 2 << 20; // for those of the digits
const ALIGNED = 16;

const compiled = compile();
let memory = null;
let exported = null;
let used = 0;

/** Where the bytes for a kernel's own use begin that `kernels` was last asked for. */
export const temporary = { address: 0 };

function compile() {
  try {
    return new WebAssembly.Module(Uint8Array.from(atob(KERNELS), (sign) => sign.charCodeAt(0)));
  } catch {
    return null; // whatever the reason is, the same comes out without
  }
}

/** Makes room for frames of so many pixels: true if all arrays that were made before are to be forgotten. */
export function reserve(pixels) {
  const needed = PER_PIXEL * pixels + SPARE;
  if (compiled === null || (memory !== null && memory.buffer.byteLength >= needed)) return false;
  try {
    memory = new WebAssembly.Memory({ initial: Math.ceil(needed / PAGE) });
    exported = new WebAssembly.Instance(compiled, { env: { memory } }).exports;
  } catch {
    memory = exported = null; // no room
  }
  used = 2 * PAGE; // the kernels' own
  return true;
}

/** A new array of pixels, rounded up to a power of two: the next digit may be larger. */
export function allocate(Kind, length) {
  const rounded = 2 ** Math.ceil(Math.log2(Math.max(length, ALIGNED)));
  const start = used;
  const size = rounded * Kind.BYTES_PER_ELEMENT;
  if (memory === null || start + size > memory.buffer.byteLength) return new Kind(rounded);
  used += size;
  return new Kind(memory.buffer, start, rounded);
}

/** The kernels, if all of these arrays lie where they work and so many bytes are left for their own use, else null. */
export function kernels(own, ...arrays) {
  if (exported === null || !arrays.every((array) => array.buffer === memory.buffer)) return null;
  temporary.address = (memory.buffer.byteLength - own) & -ALIGNED;
  return temporary.address >= used ? exported : null;
}
