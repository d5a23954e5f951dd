// A job on this phone: a fresh Worker for each measurement, and their events passed on; the twin of
// edgebig/ondevice/runner.py. Nothing is timed while the page is hidden: it waits, and a turn that was begun is done again.
import { Crew } from "./crew.js";
import { Fault } from "./fault.js";
import { pause } from "./link.js";
import { loaderFor, runtimeFor } from "./variant.js";

const CHUNK = 100;
// A model that hangs the Worker is told from a slow one by this; a phone that slept does not count as hanging.
const STEP_LIMIT_MS = 180_000;
const TRIES = 3;
const RETRY_MS = 1000;
// Of a soak, the battery and the time of day.
const SAID_EVERY_MS = 30_000;

// The events of a job from `job.resume_from` on. what: {job, tables, models: {sha256: Uint8Array}, images, facts};
// images: {data: Uint8Array, count, size} or null. Ends with result, or with error.
export async function* run(what, attention) {
  const { job, facts } = what;
  attention.takeHiddenMs();
  yield { event: "ready", protocol: 1, facts };
  yield { event: "condition", when: "before", ...(await conditions()) };
  try {
    for (const model of job.models) {
      if (model.preprocessing === null) {
        if (job.want.includes("latency")) yield* predictions(what, model, attention, true);
      } else if (job.want.includes("predictions") || job.want.includes("outputs")) {
        yield* predictions(what, model, attention, false);
      }
    }
    if (job.want.includes("latency")) {
      for (let process = job.resume_from ?? 0; process < job.processes; process++) {
        yield* latency(what, process, attention);
      }
      if (job.soak_s) yield* soak(what, attention);
    }
  } catch (error) {
    yield eventOf(error);
    return;
  }
  yield { event: "condition", when: "after", ...(await conditions()) };
  yield { event: "result", complete: true };
}

async function* predictions(what, model, attention, loadOnly) {
  const { crew, events } = await opened(what, [model], false);
  try {
    yield* events;
    const count = loadOnly ? 0 : Math.min(what.images.count, what.job.examples);
    for (let start = 0; start < count; start += CHUNK) {
      await attention.front();
      const answer = await step(crew, { step: "predict", model: 0, start, end: Math.min(start + CHUNK, count) });
      yield* answer.events;
    }
  } finally {
    crew.end();
  }
}

async function* latency(what, process, attention) {
  const { job } = what;
  const stamp = { process };
  yield { event: "condition", when: "process", ...stamp, ...(await conditions()) };
  const { crew, events } = await opened(what, job.models, true);
  try {
    const timed = (message) => undisturbed(crew, message, attention, stamp);
    for (const event of events) yield { ...event, ...stamp };
    yield* timed({ step: "settle", warmupS: job.warmup_s });
    for (let round = 0; round < job.rounds; round++) {
      for (let model = 0; model < job.models.length; model++) {
        yield* timed({ step: "measure", model, round, samples: job.samples });
      }
    }
  } finally {
    crew.end();
  }
}

// One more Worker, in which the models share each second for so long as is asked for; that is of the time in front.
async function* soak(what, attention) {
  const { job } = what;
  const { crew } = await opened(what, job.models, true);
  try {
    await attention.front();
    await step(crew, { step: "settle", warmupS: job.warmup_s });
    const spanMs = 1000 / job.models.length;
    const began = performance.now();
    let [hiddenMs, spentMs, saidMs] = [0, 0, -Infinity];
    while (spentMs < 1000 * job.soak_s) {
      const seconds = [];
      for (let model = 0; model < job.models.length; model++) {
        const turn = { step: "soak", model, spanMs };
        for await (const event of undisturbed(crew, turn, attention, {})) seconds.push(event);
      }
      for (const { hidden_s } of seconds) hiddenMs += 1000 * (hidden_s ?? 0);
      spentMs = Math.max(performance.now() - began - hiddenMs, spentMs + spanMs);
      const at_s = Math.round(spentMs) / 1000;
      for (const event of seconds) yield event.event === "soak" ? { ...event, at_s } : event;
      if (spentMs - saidMs < SAID_EVERY_MS) continue;
      saidMs = spentMs;
      yield { event: "condition", when: "soak", at_s, ...(await conditions()) };
    }
  } finally {
    crew.end();
  }
}

// A step that counts only if the page was in front from its beginning to its end.
async function* undisturbed(crew, message, attention, stamp) {
  for (;;) {
    await attention.front();
    // Since the last step was begun: it may have been hidden and shown again within one.
    const hiddenMs = attention.takeHiddenMs();
    if (hiddenMs > 0) {
      yield { event: "condition", when: "paused", hidden_s: Math.round(hiddenMs / 100) / 10, ...stamp };
    }
    const { hidings } = attention;
    const { events } = await step(crew, message);
    if (attention.hidings !== hidings) continue;
    for (const event of events) yield { ...event, ...stamp };
    return;
  }
}

// A fresh Worker with these models in it. The runtime comes from the host: while that is out of reach, it waits.
async function opened(what, chosen, timed) {
  for (let tries = 1; ; tries++) {
    let crew = null;
    try {
      crew = new Crew("process.js", await loaderFor(what.job.delegate, what.job.threads));
      const runtime = await runtimeFor(what.job.delegate, what.job.threads);
      const { events } = await step(crew, { ...opening(what, chosen, timed), runtime });
      return { crew, events };
    } catch (error) {
      crew?.end();
      // A fault of the model or of what was asked for is one at any time.
      if (eventOf(error).code !== "child-died") throw error;
      if ((await isReachable()) && tries >= TRIES) throw error;
      await pause(RETRY_MS);
    }
  }
}

function eventOf(error) {
  return (
    error instanceof Fault ? error : new Fault("child-died", error.message, "load the page on the phone again")
  ).event();
}

function isReachable() {
  return fetch(new URL("./manifest.webmanifest", import.meta.url), { cache: "no-cache" }).then(
    ({ ok }) => ok,
    () => false,
  );
}

function opening({ job, tables, models, images }, chosen, timed) {
  return {
    step: "open",
    models: chosen.map(({ sha256, name, preprocessing }) => ({
      sha256,
      name,
      bytes: models[sha256],
      table: preprocessing === null ? null : tables[sha256],
    })),
    images,
    timed,
    want: job.want,
    precision: job.gpu_precision,
  };
}

async function step(crew, message) {
  let timer;
  const tooLong = new Promise((_, reject) => {
    let left = STEP_LIMIT_MS;
    timer = setInterval(() => {
      // A timer of a page that sleeps does not run: only time awake counts.
      left -= 1000;
      if (left <= 0) reject(new Error(`the model did not answer within ${STEP_LIMIT_MS / 1000} s`));
    }, 1000);
  });
  try {
    const answer = await Promise.race([crew.ask(message), tooLong]);
    if (answer.fault) throw new Fault(answer.fault.code, answer.fault.problem, answer.fault.hint);
    return answer;
  } finally {
    clearInterval(timer);
  }
}

async function conditions() {
  const reading = { unix_s: Math.round(Date.now()) / 1000 };
  try {
    const battery = await navigator.getBattery?.();
    if (battery) reading.battery = { level: battery.level, charging: battery.charging };
  } catch {
    // Not every browser tells of it.
  }
  return reading;
}
