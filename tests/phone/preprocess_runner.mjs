/**
 * Frames -> what the page's preprocessing makes of them:
 *
 *     node preprocess_runner.mjs INDEX.js [plain] < FRAMES > ANSWERS
 *
 * With `plain` there is no WebAssembly. FRAMES: a line of JSON, [{width, height, channels: 1 or 4}, ...], then the
 * pixels of each; those of 4 channels are made grey. ANSWERS: a line of JSON for each, {digits: [{box, line, image:
 * hex}], steps: [{name, width, height, sha256}], kept: whether the frame's pixels were left alone}.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

if (process.argv[3] === "plain") delete globalThis.WebAssembly;
const { findDigits, greyOf } = await import(pathToFileURL(process.argv[2]));
const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const input = readFileSync(0);
let at = input.indexOf(10) + 1;
for (const { width, height, channels } of JSON.parse(input.subarray(0, at))) {
  const pixels = new Uint8Array(input.subarray(at, at + width * height * channels));
  at += pixels.length;
  const grey = channels === 4 ? greyOf(pixels, width, height) : pixels;
  const steps = [{ name: "grey", width, height, sha256: sha256(grey) }];
  const look = (name, step) => {
    steps.push({ name, width: step.width, height: step.height, sha256: sha256(step.data) });
  };
  const digits = findDigits({ width, height, data: grey }, look).map(({ box, line, image }) => {
    return { box, line, image: Buffer.from(image).toString("hex") };
  });
  const kept = sha256(grey) === steps[0].sha256;
  process.stdout.write(`${JSON.stringify({ digits, steps, kept })}\n`);
}
