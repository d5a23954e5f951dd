// What went wrong, in the runner's terms: {code, problem, hint}.

export class Fault extends Error {
  constructor(code, problem, hint) {
    super(problem);
    this.code = code;
    this.hint = hint;
  }

  event() {
    return { event: "error", code: this.code, problem: this.message, hint: this.hint };
  }
}

// In a Worker: posts what `step` gives, or {fault} where it cannot be done.
export async function answerWith(step) {
  try {
    self.postMessage(await step());
  } catch (error) {
    const fault = error instanceof Fault ? error : new Fault("child-died", firstLine(error), "reload the page");
    self.postMessage({ fault: fault.event() });
  }
}

export function firstLine(error) {
  return `${error?.message ?? error}`.split("\n")[0].slice(0, 300);
}
