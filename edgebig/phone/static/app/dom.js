// Elements with text in them: what comes from elsewhere never becomes HTML.

export function element(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}
