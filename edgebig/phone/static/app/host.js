// This phone in a host's bench: it joins, waits for a job, runs it, and sends its events; over drops, sleep and reloads.
import { Outbox, pause } from "./link.js";
import { Tally } from "./tally.js";
import { keepAwake } from "./attention.js";
import { run } from "./runner.js";

const RETRY_MS = 1500;
const STOPPED = {
  event: "error",
  code: "stopped",
  problem: "it was stopped on the phone",
  hint: "start it again there",
};

export class Host {
  // show: {tally(Tally), note(text), connected(boolean), end({why, accuracy}), problem(text)}
  constructor(link, facts, attention, show) {
    Object.assign(this, { link, facts, attention, show, work: null, serving: false });
    this.key = `edgebig phone ${link.token}`;
  }

  // Throws Refused where the host does not want this phone. {name, mode}
  async join() {
    const answer = await this.link.json("api/join", { phone: this.kept(), facts: this.facts });
    this.keep(answer.phone);
    this.phone = answer.phone;
    return answer;
  }

  // In the session's store: a page that is loaded anew is the same phone, another tab is another one. A browser that lets
  // no page store anything makes it another phone each time.
  kept() {
    try {
      return sessionStorage.getItem(this.key);
    } catch {
      return null;
    }
  }

  keep(phone) {
    try {
      sessionStorage.setItem(this.key, phone);
    } catch {
      // As above.
    }
  }

  // Until the host has no more for this phone.
  async serve() {
    if (this.serving) return;
    this.serving = true;
    this.left = new AbortController();
    const release = await keepAwake();
    try {
      const has = () => this.work?.number ?? 0;
      for await (const { event, data } of this.link.events(this.phone, has, this.show.connected, this.left.signal)) {
        if (event === "wait") this.show.note(data.why ?? "waiting for the host");
        if (event === "job") this.begin(data);
        if (event === "end") this.show.end(data);
      }
    } catch (error) {
      this.show.problem(error.message);
    } finally {
      this.work?.cancel();
      this.work = null;
      this.serving = false;
      release();
    }
  }

  // The user has enough: the host is told so where it waits for events, else this phone just leaves.
  stop() {
    if (this.work) this.work.stop();
    else this.left?.abort();
  }

  begin(task) {
    if (this.work?.number === task.number) {
      this.work.hurry();
      return;
    }
    this.work?.cancel();
    const work = new Work(this, task);
    this.work = work;
    work.run().catch((error) => {
      if (work === this.work && !work.cancelled) this.show.problem(error.message);
    });
  }
}

// One numbered job.
class Work {
  constructor(host, task) {
    const { link, phone } = host;
    Object.assign(this, { host, task, number: task.number, cancelled: false, stopping: false });
    this.outbox = new Outbox(link, phone, task.number, task.next);
  }

  cancel() {
    this.cancelled = true;
  }

  stop() {
    this.stopping = true;
  }

  // The line is there again: what waits can go.
  hurry() {
    this.outbox.sent = -Infinity;
  }

  async run() {
    const { job, tables } = this.task;
    const { facts, attention, show } = this.host;
    const tally = new Tally(job);
    show.tally(tally);
    const [models, images] = await this.fetched(job);
    for await (const event of run({ job, tables, models, images, facts }, attention)) {
      if (this.cancelled) return;
      if (this.stopping) break;
      tally.add(event);
      show.tally(tally);
      this.outbox.add(event);
      // Between two steps, so that nothing is sent while a time is taken.
      if (this.outbox.due) await this.outbox.send();
    }
    if (this.stopping) this.outbox.add(STOPPED);
    await this.drain();
  }

  async drain() {
    while (!this.cancelled && !(await this.outbox.send())) await pause(RETRY_MS);
  }

  async fetched(job) {
    const models = {};
    for (const { sha256 } of job.models) models[sha256] = await this.blob(sha256);
    if (job.inputs === null) return [models, null];
    const [count, ...shape] = job.inputs_shape;
    return [
      models,
      { data: await this.blob(job.inputs), count, size: shape.reduce((product, side) => product * side, 1) },
    ];
  }

  async blob(sha256) {
    for (;;) {
      try {
        return await this.host.link.bytes(`api/blob/${sha256}`);
      } catch (error) {
        if (this.cancelled || error.final) throw error;
        await pause(RETRY_MS);
      }
    }
  }
}
