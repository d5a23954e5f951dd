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

export function firstLine(error) {
  return `${error?.message ?? error}`.split("\n")[0].slice(0, 300);
}
