// Pictures for the reader, at most so large as the preprocessing is made for.

const LONGEST = 640;

// The size in which a picture is read.
export function readSize(width, height, longest = LONGEST) {
  const scale = Math.min(1, longest / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

let canvas = null;

// Of a video, an image or a canvas: {bitmap} where Workers can draw it, else {picture: {width, height, rgba}}.
export async function take(source, width, height, longest) {
  const size = readSize(width, height, longest);
  if (typeof OffscreenCanvas === "function" && typeof createImageBitmap === "function") {
    const bitmap = await createImageBitmap(source, {
      resizeWidth: size.width,
      resizeHeight: size.height,
      resizeQuality: "medium",
    });
    return { bitmap };
  }
  canvas ??= document.createElement("canvas");
  Object.assign(canvas, size);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, size.width, size.height);
  return { picture: { ...size, rgba: context.getImageData(0, 0, size.width, size.height).data } };
}
