/**
 * Typed arrays that are kept from frame to frame, by name: a frame at 30 a second leaves nothing to collect.
 *
 * What lies in one is good until the next call that names it, and its values are those that were left in it. A name has
 * one kind and one user. Pixels lie in the memory that the kernels of simd.js work in, as long as it has room.
 */

import { allocate } from "./simd.js";

const kept = new Map();

/** A Uint8Array of this length, of pixels. */
export const bytes = (name, length) => array(name, length, Uint8Array, allocate);

/** A Uint16Array of this length, of pixels. */
export const shorts = (name, length) => array(name, length, Uint16Array, allocate);

/** An Int32Array of this length; `from`: `allocate`, if a kernel is to see it. */
export const ints = (name, length, from = anywhere) => array(name, length, Int32Array, from);

/** A Float64Array of this length; `from`: `allocate`, if a kernel is to see it. */
export const doubles = (name, length, from = anywhere) => array(name, length, Float64Array, from);

/** All arrays are made anew from here on. */
export const forget = () => kept.clear();

function array(name, length, Kind, from) {
  let whole = kept.get(name);
  if (whole === undefined || whole.length < length) {
    whole = from(Kind, length);
    kept.set(name, whole);
  }
  return whole.length === length ? whole : whole.subarray(0, length);
}

function anywhere(Kind, length) {
  return new Kind(length);
}
