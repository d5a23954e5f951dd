// The camera: frames go to the reader one at a time, always the newest, and what it finds is drawn over the video.
import { drawBoxes, milliseconds, textOf } from "./overlay.js";
import { stopTracks, unavailable, why } from "./access.js";
import { Smoother } from "./smoothing.js";
import { take } from "./picture.js";

const HOLD = 3;
const RATE_OVER_MS = 2000;
// A photograph of a whole page has smaller digits than what one holds a camera at.
const PHOTO_LONGEST = 1600;

export class Camera {
  // parts: the elements of the panel by name; reading: Reading; speech: Speech.
  constructor(parts, reading, speech) {
    Object.assign(this, {
      parts,
      reading,
      speech,
      stream: null,
      photo: null,
      wanted: false,
      here: true,
      fresh: false,
      photoIsDue: false,
      working: false,
      threshold: 0,
    });
    this.smoother = new Smoother(HOLD);
    this.frames = [];
    this.device = null;
    parts.start.addEventListener("click", () => (this.wanted ? this.stop() : this.start()));
    parts.turn.addEventListener("click", () => this.turn());
    parts.light.addEventListener("click", () => this.light());
    parts.file.addEventListener("change", () => this.photograph());
    parts.sure.addEventListener("input", () => {
      this.threshold = Number(parts.sure.value) / 100;
      this.showSureness();
    });
    parts.video.addEventListener("resize", () => this.fit(parts.video.videoWidth, parts.video.videoHeight));
    document.addEventListener("visibilitychange", () => this.visibility());
    this.problem(unavailable());
  }

  // A model is ready: what needs one can be used.
  ready(model) {
    const { start, file, sure } = this.parts;
    start.disabled = unavailable() !== null;
    file.disabled = false;
    // To the bit, which a slider of whole percents is not, until the user moves it.
    this.threshold = model.threshold ?? 0;
    sure.value = Math.round(100 * this.threshold);
    this.smoother = new Smoother(HOLD);
    this.showSureness();
  }

  showSureness() {
    this.parts.sureValue.textContent = `${this.parts.sure.value} %`;
    if (this.photo) this.readPhoto();
  }

  problem(words) {
    this.parts.problem.hidden = words === null;
    this.parts.problem.textContent = words ?? "";
  }

  async start() {
    this.wanted = true;
    this.problem(null);
    this.forgetPhoto();
    const { video, start } = this.parts;
    start.textContent = "Stop the camera";
    const ideal = { width: { ideal: 1280 }, height: { ideal: 720 } };
    const which = this.device ? { deviceId: { exact: this.device } } : { facingMode: { ideal: "environment" } };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { ...which, ...ideal }, audio: false });
      if (!this.wanted) return stopTracks(stream);
      this.stream = stream;
      const [track] = stream.getVideoTracks();
      track.addEventListener("ended", () => this.lost(stream));
      video.srcObject = stream;
      video.hidden = false;
      this.parts.invite.hidden = true;
      await video.play();
      this.offer(track);
      this.watch(stream);
    } catch (error) {
      if (!this.wanted) return;
      this.stop();
      this.problem(why(error));
    }
  }

  stop() {
    this.wanted = false;
    this.release();
    this.parts.start.textContent = "Start the camera";
    this.parts.invite.hidden = this.photo !== null;
    this.parts.turn.hidden = true;
    this.parts.light.hidden = true;
    this.clear();
  }

  release() {
    stopTracks(this.stream);
    this.stream = null;
    this.parts.video.srcObject = null;
  }

  clear() {
    drawBoxes(this.parts.boxes, { width: 1, height: 1 }, []);
    this.parts.answer.textContent = "\u00a0";
    this.parts.times.textContent = "";
    this.smoother = new Smoother(HOLD);
    this.frames = [];
  }

  lost(stream) {
    if (stream !== this.stream) return;
    this.stop();
    this.problem("The camera was taken away: another app uses it, or it was unplugged. Start it again.");
  }

  // Another panel is chosen, or this one again.
  shown(here) {
    this.here = here;
    if (here && this.wanted) this.start();
    else this.release();
  }

  // A hidden page gives the camera back: nobody sees what it sees, and iOS freezes the picture.
  visibility() {
    if (document.hidden) this.release();
    else if (this.wanted && this.here) this.start();
  }

  async offer(track) {
    const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    this.devices = devices.filter(({ kind }) => kind === "videoinput");
    this.parts.turn.hidden = this.devices.length < 2;
    this.parts.light.hidden = !track.getCapabilities?.().torch;
    this.parts.light.setAttribute("aria-pressed", "false");
  }

  async turn() {
    const now = this.stream?.getVideoTracks()[0]?.getSettings().deviceId;
    const place = this.devices.findIndex(({ deviceId }) => deviceId === now);
    this.device = this.devices[(place + 1) % this.devices.length].deviceId;
    this.release();
    this.clear();
    await this.start();
  }

  async light() {
    const { light } = this.parts;
    const on = light.getAttribute("aria-pressed") !== "true";
    try {
      await this.stream.getVideoTracks()[0].applyConstraints({ advanced: [{ torch: on }] });
      light.setAttribute("aria-pressed", `${on}`);
    } catch {
      light.hidden = true;
    }
  }

  fit(width, height) {
    if (width && height) this.parts.stage.style.aspectRatio = `${width} / ${height}`;
  }

  watch(stream) {
    const { video } = this.parts;
    const next = video.requestVideoFrameCallback
      ? (seen) => video.requestVideoFrameCallback(seen)
      : requestAnimationFrame;
    const seen = () => {
      if (stream !== this.stream) return;
      this.fresh = true;
      this.pump();
      next(seen);
    };
    next(seen);
  }

  // Reads the newest frame as soon as the reader is free; those that come meanwhile are let go.
  async pump() {
    if (this.photo) {
      this.pumpPhoto();
      return;
    }
    const { video } = this.parts;
    if (!this.fresh || this.working || !this.reading.free || !video.videoWidth) return;
    [this.fresh, this.working] = [false, true];
    const { stream } = this;
    try {
      const picture = await take(video, video.videoWidth, video.videoHeight);
      const found = await this.reading.read(picture, this.threshold);
      if (found && stream === this.stream) this.show(found);
    } catch (error) {
      if (stream !== this.stream) return;
      this.stop();
      this.problem(`The frame could not be read: ${error.message}`);
    } finally {
      this.working = false;
      this.pump();
    }
  }

  show(found) {
    const things = this.smoother.update(found);
    drawBoxes(this.parts.boxes, found, things);
    this.tell(things);
    const now = performance.now();
    this.frames = [...this.frames.filter((at) => now - at < RATE_OVER_MS), now];
    const span = now - this.frames[0];
    const rate = span > 0 ? `${((1000 * (this.frames.length - 1)) / span).toFixed(0)} frames a second` : "";
    this.parts.times.textContent = `${timesOf(found)}; ${rate}`;
  }

  tell(things) {
    const text = textOf(things);
    this.parts.answer.textContent = text || "\u00a0";
    this.speech.say(text || "No digit in sight");
  }

  // ---------------------------------------------------------------- a photograph

  async photograph() {
    const [file] = this.parts.file.files;
    this.parts.file.value = "";
    if (!file) return;
    if (this.wanted) this.stop();
    this.forgetPhoto();
    this.problem(null);
    const url = URL.createObjectURL(file);
    const { photo } = this.parts;
    photo.src = url;
    try {
      await photo.decode();
    } catch {
      URL.revokeObjectURL(url);
      this.problem(`${file.name} is no picture that this browser reads.`);
      return;
    }
    this.photo = url;
    photo.hidden = false;
    this.parts.video.hidden = true;
    this.parts.invite.hidden = true;
    this.fit(photo.naturalWidth, photo.naturalHeight);
    await this.readPhoto();
  }

  // Reads it once more, as soon as the reader is free.
  readPhoto() {
    this.photoIsDue = true;
    return this.pumpPhoto();
  }

  async pumpPhoto() {
    if (!this.photo || !this.photoIsDue || this.working || !this.reading.free) return;
    [this.photoIsDue, this.working] = [false, true];
    const read = this.photo;
    const { photo } = this.parts;
    try {
      // The browser has turned it upright.
      const picture = await take(photo, photo.naturalWidth, photo.naturalHeight, PHOTO_LONGEST);
      const found = await this.reading.read(picture, this.threshold);
      if (!found) this.photoIsDue = true;
      else if (read === this.photo) this.showPhoto(found);
    } catch (error) {
      if (read === this.photo) this.problem(`The photograph could not be read: ${error.message}`);
    } finally {
      this.working = false;
      this.pump();
    }
  }

  showPhoto(found) {
    drawBoxes(this.parts.boxes, found, found.digits, found.rejected);
    this.tell(found.digits);
    this.parts.times.textContent = timesOf(found);
    const none = "No digit was found in it. Dark ink on plain paper, close by, is read best.";
    this.problem(found.digits.length === 0 ? none : null);
  }

  forgetPhoto() {
    if (this.photo) URL.revokeObjectURL(this.photo);
    this.photo = null;
    this.parts.photo.hidden = true;
    this.parts.photo.removeAttribute("src");
    this.parts.video.hidden = false;
  }
}

export function timesOf({ times, width, height }) {
  const parts = [
    `pre-processing ${milliseconds(times.pre)}`,
    `inference ${milliseconds(times.inference)}`,
    `post-processing ${milliseconds(times.post)}`,
  ];
  return `${parts.join(", ")}; read at ${width}x${height}`;
}
