// Tabs as the ARIA practices have them: arrows, Home and End move, and only the chosen one is in the tab order.

export class Tabs {
  // list: the element with role tablist; chosen(id): called with the panel's id.
  constructor(list, chosen) {
    this.tabs = [...list.querySelectorAll('[role="tab"]')];
    this.chosen = chosen;
    for (const tab of this.tabs) tab.addEventListener("click", () => this.choose(tab));
    list.addEventListener("keydown", (event) => this.move(event));
  }

  move(event) {
    const now = this.tabs.indexOf(document.activeElement);
    const steps = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: this.tabs.length - 1 };
    if (now < 0 || !(event.key in steps)) return;
    event.preventDefault();
    const tab = this.tabs[(steps[event.key] + this.tabs.length) % this.tabs.length];
    if (tab.disabled) return;
    this.choose(tab);
    tab.focus();
  }

  open(panel) {
    this.choose(this.tabs.find((tab) => tab.getAttribute("aria-controls") === panel));
  }

  choose(tab) {
    for (const one of this.tabs) {
      const selected = one === tab;
      one.setAttribute("aria-selected", `${selected}`);
      one.tabIndex = selected ? 0 : -1;
      document.getElementById(one.getAttribute("aria-controls")).hidden = !selected;
    }
    this.chosen(tab.getAttribute("aria-controls"));
  }
}
