// Workers of this page, spoken to one message at a time.

const SCRIPT = new URL("./worker.js", import.meta.url);

export class Crew {
  constructor(module) {
    this.worker = new Worker(SCRIPT, { name: `edgebig ${module}` });
    this.worker.postMessage({ module });
    this.turn = null;
    this.worker.addEventListener("message", ({ data }) => this.settle((turn) => turn.resolve(data)));
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      const why = event.message || "its script could not be loaded";
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
