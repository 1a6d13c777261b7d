"use strict";
// A button in each column heading sorts: numbers from the largest, words from A, then the other way, then as printed.
(() => {
  const words = new Intl.Collator("en", { numeric: true });
  const key = (cell) => {
    const said = cell?.dataset.v ?? cell?.textContent.trim() ?? "";
    if (said === "" || said === "–") return null;
    return Number.isNaN(Number(said)) ? said : Number(said);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : words.compare(a, b));
  const sorted = (rows, k, sign) => {
    const keys = new Map(rows.map((row) => [row, key(row.cells[k])]));
    return [...rows].sort((one, two) => {
      const [a, b] = [keys.get(one), keys.get(two)];
      return a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b);
    });
  };
  for (const table of document.querySelectorAll("table")) {
    const [body, ...more] = table.tBodies;
    const [top, ...below] = table.tHead?.rows ?? [];
    const printed = [...(body?.rows ?? [])];
    if (!top || more.length || below.length || printed.length < 2 || table.querySelector("[colspan], [rowspan]")) continue;
    [...top.cells].forEach((head, k) => {
      if (!head.textContent.trim() || head.querySelector(".unseen")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const counts = printed.some((row) => row.cells[k]?.dataset.v);
        const ways = counts ? ["descending", "ascending"] : ["ascending", "descending"];
        const way = ways[ways.indexOf(head.getAttribute("aria-sort")) + 1];
        for (const other of top.cells) other.removeAttribute("aria-sort");
        if (way) head.setAttribute("aria-sort", way);
        body.append(...(way ? sorted(printed, k, way === "ascending" ? 1 : -1) : printed));
      });
    });
  }
})();
