/** Colours -> grey, as Pillow's convert("L") has it: Rec. 601's weights in 65536ths, rounded. */

/**
 * RGBA, as a canvas gives it -> Uint8Array of width x height. Alpha is not looked at: what is drawn on an opaque canvas
 * has none. `into`: the array to write to, if it is to be used again.
 * Throws a TypeError where rgba is too short or long.
 */
export function greyOf(rgba, width, height, into = null) {
  const pixels = width * height;
  if (rgba?.length !== 4 * pixels) throw new TypeError(`${4 * pixels} bytes of RGBA are needed, not ${rgba?.length}`);
  const grey = into?.length === pixels ? into : new Uint8Array(pixels);
  for (let at = 0, from = 0; at < pixels; at++, from += 4) {
    grey[at] = (rgba[from] * 19595 + rgba[from + 1] * 38470 + rgba[from + 2] * 7471 + 0x8000) >> 16;
  }
  return grey;
}
