// Workers of this page, spoken to one message at a time.

const BASE = new URL("../", import.meta.url).href;
const scripts = new Map();

// The address of a Worker's script: LiteRT.js's loader and the page's own modules, which the page has both. A Worker that
// asked the host for them would get them anew each time, where the browser keeps nothing.
function scriptOf(loader) {
  if (!scripts.has(loader)) {
    const parts = [`self.edgebigBase = ${JSON.stringify(BASE)};\n`, loader, "\n", self.edgebigBundle];
    scripts.set(loader, URL.createObjectURL(new Blob(parts, { type: "text/javascript" })));
  }
  return scripts.get(loader);
}

export class Crew {
  // module: "reader.js" or "process.js"; loader: as loaderFor of variant.js gives it.
  constructor(module, loader) {
    this.worker = new Worker(scriptOf(loader), { name: `edgebig ${module}` });
    this.worker.postMessage({ module });
    this.turn = null;
    this.worker.addEventListener("message", ({ data }) => this.settle((turn) => turn.resolve(data)));
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      const why = event.message || "the browser does not say why";
      this.settle((turn) => turn.reject(new Error(`a Worker of the page failed: ${why}`)));
    });
  }

  settle(how) {
    const { turn } = this;
    this.turn = null;
    if (turn) how(turn);
  }

  // Sends a message and gives the answer to it. Rejects where the Worker fails or is ended.
  ask(message, transfer = []) {
    if (this.turn) throw new Error("the Worker is asked before it has answered");
    return new Promise((resolve, reject) => {
      this.turn = { resolve, reject };
      this.worker.postMessage(message, transfer);
    }).then((answer) => {
      if (answer?.failed) throw new Error(answer.failed);
      return answer;
    });
  }

  get busy() {
    return this.turn !== null;
  }

  end() {
    this.worker.terminate();
    this.settle((turn) => turn.reject(new DOMException("the Worker was ended", "AbortError")));
  }
}
