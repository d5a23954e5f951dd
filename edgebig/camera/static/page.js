// What is read, beside the picture; a server-sent event each, the newest only.
"use strict";

const at = (id) => document.getElementById(id);
const tell = (id, text) => {
  // A screen reader reads what changes, and nothing that stays.
  if (at(id).textContent !== text) at(id).textContent = text;
};

function state(text, lost = false) {
  tell("state", text);
  at("state").classList.toggle("lost", lost);
}

function lines(event) {
  if (!event.label) return "";
  const numbers = [...new Set(event.digits.map((digit) => digit.line))];
  const texts = numbers.map((n) => event.digits.filter((digit) => digit.line === n).map((digit) => digit.label).join(""));
  return texts.join("\n") || event.label;
}

function frame(event) {
  tell("reading", lines(event));
  tell("confidence", event.label ? `${Math.round(event.confidence * 100)} %` : "–");
  tell("per_s", event.per_s.toFixed(1));
  for (const id of ["pre_ms", "inference_ms", "post_ms"]) tell(id, `${event[id].toFixed(1)} ms`);
  tell("latency_ms", `${Math.round(event.latency_ms)} ms`);
}

// Of a tab that is hidden nobody sees the picture, and none is made where nobody does.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) at("live").removeAttribute("src");
  else at("live").src = "stream";
});

const answers = new EventSource("answers");
answers.onmessage = ({ data }) => {
  const told = JSON.parse(data);
  if (told.frame) frame(told.frame);
  if (told.end) state("The source has ended; this is its last picture.");
  else if (told.error) state(told.error.problem, true);
  else if (told.opened) state(`${told.opened.source}, ${told.opened.width} × ${told.opened.height}`);
};
answers.onerror = () => state("No answer from edgebig camera: it was ended, or its camera was lost.", true);
