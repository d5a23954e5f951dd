// The page: which model, on what, and its three panels.
import { Link, tokenOf } from "./link.js";
import { Attention } from "./attention.js";
import { Bench } from "./bench.js";
import { Camera } from "./camera.js";
import { Paper } from "./paper.js";
import { Reading } from "./reading.js";
import { Speech } from "./speech.js";
import { Tabs } from "./tabs.js";
import { facts as factsOf } from "./facts.js";
import { keepForFlight } from "./offline.js";

document.documentElement.dataset.started = "";
const at = (id) => document.getElementById(id);
const status = at("status");

// Whether models have come that one may choose from.
let choosable = false;
const token = tokenOf(location.hash);
const link = new Link(token);
const speech = new Speech(at("spoken"));
const reading = new Reading(link, (state, words) => {
  status.textContent = words;
  document.documentElement.dataset.reader = state;
  if (state === "ready") for (const panel of [camera, paper]) panel.ready(reading.model);
});
const camera = new Camera(cameraParts(), reading, speech);
const paper = new Paper(paperParts(), reading, speech, () => camera.threshold);
reading.idle = () => {
  paper.pump();
  camera.pump();
};
const tabs = new Tabs(document.querySelector(".tabs"), (panel) => {
  camera.shown(panel === "camera");
  if (panel === "draw") paper.changed();
});

// The phone was turned: what lies over a picture is drawn in another size.
addEventListener("resize", () => {
  paper.changed();
  if (camera.photo) camera.readPhoto();
});
addEventListener(
  "unhandledrejection",
  ({ reason }) => (status.textContent = `Something failed: ${reason?.message ?? reason}`),
);

start().catch((error) => (status.textContent = error.message));

async function start() {
  reading.warm("wasm");
  const [facts, models] = await Promise.all([factsOf(), listed()]);
  const bench = new Bench(benchParts(), {
    link,
    facts,
    attention: new Attention(),
    models: () => models,
    delegate: () => at("accelerator").value,
    alone,
  });
  const mode = token ? await bench.join() : "page";
  let benched = Promise.resolve();
  if (mode === "bench") {
    status.textContent = "Measuring for the host; the camera and the paper come after";
    reading.rest();
    tabs.open("bench");
    benched = bench.start();
  }
  if (models.length === 0) {
    at("choices").hidden = true;
    document.querySelector(".tabs").hidden = true;
    tabs.open("bench");
    status.textContent = "No model came with this page: it only measures for its host.";
    return;
  }
  // A phone in a host's bench does nothing else meanwhile.
  await benched;
  choose(models, facts);
  bench.ready();
  await open(models);
  await link.keepOnly(
    "models/",
    models.map(({ file }) => file),
  );
  if (!token) await keepForFlight(status);
}

// What is measured shares the phone with nothing: the other panels wait.
function alone(whether) {
  for (const id of ["tab-camera", "tab-draw"]) at(id).disabled = whether;
  for (const id of ["model", "accelerator"]) at(id).disabled = whether || !choosable;
}

async function listed() {
  try {
    return await link.json("models.json");
  } catch (error) {
    if (error.status === 401)
      throw new Error("This address lacks its token: open it by the QR code, or copy it whole.");
    throw error;
  }
}

function choose(models, facts) {
  const accelerators = [
    ["wasm", "WASM"],
    ...(facts.gpu ? [["webgpu", "WebGPU"]] : []),
    ...(facts.webnn ? [["webnn", "WebNN"]] : []),
  ];
  at("model").replaceChildren(
    ...models.map(({ name, bytes }, index) => new Option(`${name}, ${kilobytes(bytes)}`, `${index}`)),
  );
  at("accelerator").replaceChildren(...accelerators.map(([value, name]) => new Option(name, value)));
  choosable = true;
  for (const id of ["model", "accelerator"]) {
    at(id).disabled = false;
    at(id).addEventListener("change", () => open(models));
  }
}

function open(models) {
  return reading.open(models[Number(at("model").value)], at("accelerator").value);
}

function kilobytes(bytes) {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function cameraParts() {
  return {
    stage: at("camera-stage"),
    video: at("video"),
    photo: at("photo"),
    boxes: at("camera-boxes"),
    invite: at("camera-invite"),
    answer: at("camera-answer"),
    start: at("camera-start"),
    turn: at("camera-turn"),
    light: at("camera-light"),
    file: at("photo-file"),
    problem: at("camera-problem"),
    sure: at("sure"),
    sureValue: at("sure-value"),
    times: at("camera-times"),
  };
}

function paperParts() {
  return {
    paper: at("paper"),
    boxes: at("draw-boxes"),
    answer: at("draw-answer"),
    undo: at("draw-undo"),
    clear: at("draw-clear"),
    times: at("draw-times"),
  };
}

function benchParts() {
  return {
    host: at("bench-host"),
    start: at("bench-start"),
    stop: at("bench-stop"),
    progress: at("bench-progress"),
    note: at("bench-note"),
    bar: at("bench-bar"),
    problem: at("bench-problem"),
    rows: at("bench-rows"),
    facts: at("facts"),
  };
}
