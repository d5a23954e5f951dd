// Keeps the exported folder on the phone, so that it opens in flight mode. A server with a token has nothing to keep.

export async function keepForFlight(status) {
  if (!("serviceWorker" in navigator) || !self.isSecureContext) return;
  try {
    const registration = await navigator.serviceWorker.register(new URL("../sw.js", import.meta.url));
    const worker = registration.installing ?? registration.waiting ?? registration.active;
    if (!worker) return;
    const tell = () => {
      if (worker.state === "activated") document.documentElement.dataset.offline = "ready";
      if (worker.state === "activated" && !status.textContent.includes("offline"))
        status.textContent += "; kept for offline use";
    };
    worker.addEventListener("statechange", tell);
    tell();
  } catch {
    // There is none beside this page, or the browser keeps nothing (a private window): it works while it is online.
  }
}
