// Every phone's row, asked for again and again while the page is in front.
import { Link, Refused, pause, tokenOf } from "./link.js";
import { duration } from "./tally.js";
import { element } from "./dom.js";

const EVERY_MS = 1000;
const status = document.getElementById("status");
const body = document.getElementById("rows");
const link = new Link(tokenOf(location.hash));

for (;;) {
  try {
    if (!document.hidden) show(await link.json("api/rows"));
  } catch (error) {
    status.textContent =
      error instanceof Refused ? error.message : "The host does not answer; these are its last words";
    if (error.status === 401) break;
  }
  await pause(EVERY_MS);
}

function show(rows) {
  const working = rows.filter(({ state }) => state === "works").length;
  status.textContent =
    rows.length === 0
      ? "No phone yet"
      : `${rows.length === 1 ? "1 phone" : `${rows.length} phones`}, ${working} at work`;
  body.replaceChildren(...rows.map(line));
}

function line({ name, about, state, done, of, p50_ns: p50Ns, accuracy, note }) {
  const row = document.createElement("tr");
  const head = element("th", name);
  head.scope = "row";
  row.append(head, element("td", about), element("td", state), bar(done, of, name));
  row.append(
    number(p50Ns === null ? "" : duration(p50Ns)),
    number(accuracy === null ? "" : `${(100 * accuracy).toFixed(2)} %`),
  );
  row.append(element("td", note));
  return row;
}

function bar(done, of, name) {
  const cell = element("td", "");
  if (of > 0) {
    const progress = Object.assign(document.createElement("progress"), { max: of, value: Math.min(done, of) });
    progress.setAttribute("aria-label", `${name}: ${done} of ${of}`);
    cell.append(progress);
  }
  return cell;
}

function number(text) {
  return Object.assign(element("td", text), { className: "number" });
}
