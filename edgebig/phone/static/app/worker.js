// A Worker of the page, which is told by its first message, {module: "reader.js" | "process.js"}, whose work it does; every
// later message goes there.
import { receive as process } from "./process.js";
import { receive as reader } from "./reader.js";

const ROOMS = { "reader.js": reader, "process.js": process };
let room = null;

self.addEventListener("message", ({ data }) => {
  if (room) room(data);
  else room = ROOMS[data.module];
});
