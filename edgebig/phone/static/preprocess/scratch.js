/**
 * Typed arrays that are kept from frame to frame, by name: a frame at 30 a second leaves nothing to collect.
 *
 * What lies in one is good until the next call that names it. A name has one kind and one user.
 */

const kept = new Map();

/** A Uint8Array of this length; its values are those that were left in it. */
export const bytes = (name, length) => array(name, length, Uint8Array);

/** A Uint16Array of this length; its values are those that were left in it. */
export const shorts = (name, length) => array(name, length, Uint16Array);

/** An Int32Array of this length; its values are those that were left in it. */
export const ints = (name, length) => array(name, length, Int32Array);

/** A Float64Array of this length; its values are those that were left in it. */
export const doubles = (name, length) => array(name, length, Float64Array);

function array(name, length, Kind) {
  let whole = kept.get(name);
  if (whole === undefined || whole.length < length) {
    whole = new Kind(length);
    kept.set(name, whole);
  }
  return whole.length === length ? whole : whole.subarray(0, length);
}
