// Starts the page: all its modules come as one script, which is kept where the browser keeps nothing by itself. It may run
// only as what the page's policy calls by its hash, wherever it was kept.
import { fetchKept } from "./kept.js";

async function start() {
  const response = await fetchKept(new URL("bundle.js", import.meta.url).href);
  if (!response.ok) throw new Error(`the host answered ${response.status}`);
  // For the Workers too, which crew.js makes.
  self.edgebigBundle = await response.text();
  const script = document.createElement("script");
  script.textContent = self.edgebigBundle;
  document.head.append(script);
  if (!("started" in document.documentElement.dataset)) throw new Error("its script did not start");
}

start().catch((error) => {
  document.getElementById("status").textContent = `The page could not be loaded: ${error.message}. Load it again.`;
});
