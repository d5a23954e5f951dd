// What a screen reader is told: an answer that has stood for a moment, once, and not every frame.

const STANDS_MS = 900;

export class Speech {
  constructor(element) {
    Object.assign(this, { element, said: "", wanted: "", timer: null });
  }

  say(text) {
    if (text === this.wanted) return;
    this.wanted = text;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (text === this.said) return;
      this.said = text;
      this.element.textContent = text;
    }, STANDS_MS);
  }
}
