// A measurement for this page alone, where no host asked for one: the listed models in turns, shown and not sent.
import { Tally } from "./tally.js";
import { inputTable } from "./levels.js";
import { keepAwake } from "./attention.js";
import { run } from "./runner.js";

const PLAN = { processes: 3, rounds: 5, samples: 20, warmup_s: 3 };

// models: rows of models.json. show(tally) is called at each event; stopped(): whether the user has enough.
export async function measure(models, { link, delegate, facts, attention, show, stopped }) {
  const [examples, labels] = await examplesOf(models[0], link);
  const fits = (model) => examples !== null && model.examples?.file === models[0].examples.file;
  const job = {
    ...PLAN,
    models: models.map((model) => ({ ...model, preprocessing: fits(model) ? model.preprocessing : null })),
    examples: examples?.count ?? 0,
    want: examples ? ["predictions", "latency"] : ["latency"],
    delegate,
    threads: 1,
  };
  const tables = {};
  const bytes = {};
  for (const model of models) {
    tables[model.sha256] = inputTable(model.input, model.preprocessing);
    bytes[model.sha256] = await link.bytes(model.file);
  }
  const tally = new Tally(job, labels);
  const release = await keepAwake();
  try {
    for await (const event of run({ job, tables, models: bytes, images: examples, facts }, attention)) {
      tally.add(event);
      show(tally);
      if (stopped()) break;
    }
  } finally {
    release();
  }
  return tally;
}

async function examplesOf(model, link) {
  if (!model.examples) return [null, null];
  const { file, labels } = model.examples;
  const data = await link.bytes(file);
  return [{ data, count: labels.length, size: data.length / labels.length }, labels];
}
