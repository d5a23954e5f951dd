// Whether the page is in front and awake: a browser slows a hidden page down, and a phone that sleeps stops it.

export class Attention {
  constructor() {
    this.hidings = 0;
    this.hiddenMs = 0; // of which nobody was told yet
    this.since = document.hidden ? performance.now() : null;
    document.addEventListener("visibilitychange", () => this.changed());
    this.waiting = [];
  }

  changed() {
    if (document.hidden) {
      this.hidings += 1;
      this.since = performance.now();
      return;
    }
    if (this.since !== null) this.hiddenMs += performance.now() - this.since;
    this.since = null;
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  // For how long the page was hidden since this was asked last.
  takeHiddenMs() {
    const { hiddenMs } = this;
    this.hiddenMs = 0;
    return hiddenMs;
  }

  // Resolves when the page is in front.
  front() {
    return document.hidden ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve();
  }
}

// Keeps the screen on until the function that it gives is called; where the browser does not let it, nothing happens.
export async function keepAwake() {
  let lock = null;
  let wanted = true;
  const take = async () => {
    try {
      if (wanted && !document.hidden) lock = await navigator.wakeLock?.request("screen");
    } catch {
      // A low battery refuses it: the user keeps the screen on by touching it.
    }
  };
  document.addEventListener("visibilitychange", take);
  await take();
  return () => {
    wanted = false;
    document.removeEventListener("visibilitychange", take);
    lock?.release();
  };
}
