// A Worker of the page: a classic one, since LiteRT.js loads its WebAssembly by importScripts, which modules lack.
// What it does is a module named by its first message, {module: "reader.js" | "process.js"}; every later message goes there.
"use strict";

const ROOMS = ["reader.js", "process.js"];
let room = null;

self.addEventListener("message", (message) => {
  if (room === null) {
    const name = message.data.module;
    if (!ROOMS.includes(name)) throw new Error(`no module ${name}`);
    room = import(`./${name}`);
  }
  // A message that comes while the module loads waits for it, and they keep their order.
  room.then(
    (module) => module.receive(message.data),
    (error) => self.postMessage({ failed: `${error.message ?? error}` }),
  );
});
