"use strict";
// The table of tasks: unpacked once, filtered and sorted as numbers of rows; only what is seen is in the document.
(async () => {
  const ROW = 30, SPARE = 20, NAMES = ["task", "state", "attempt", "code", "cause", "job", "id", "node", "waited", "ran"];
  const LABELS = { attempt: "attempt", code: "exit code", waited: "queued s", ran: "ran s" };
  const find = (id) => document.getElementById(id);
  const bytes = Uint8Array.from(atob(find("data").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { states, words, columns } = await new Response(stream).json();
  const total = columns.task.length;
  const shown = {
    state: (n) => states[columns.state[n]], cause: (n) => words[columns.cause[n]], node: (n) => words[columns.node[n]],
    code: (n) => (columns.code[n] < 0 ? "" : columns.code[n]),
    waited: (n) => (columns.waited[n] < 0 ? "" : columns.waited[n]), ran: (n) => (columns.ran[n] < 0 ? "" : columns.ran[n]),
  };
  const value = (name, n) => (shown[name] ? shown[name](n) : columns[name][n]);
  const searched = columns.task.map((_, n) => ["task", "cause", "job", "id", "node"].map((c) => value(c, n)).join(" ").toLowerCase());
  let order = [...columns.task.keys()], sorted = "", down = false;

  const head = find("head").insertRow();
  for (const name of NAMES) {
    const cell = document.createElement("th"), button = document.createElement("button");
    cell.scope = "col"; cell.dataset.name = name; button.type = "button"; button.textContent = LABELS[name] || name;
    button.onclick = () => { down = sorted === name && !down; sorted = name; look(); };
    cell.append(button); head.append(cell);
  }
  states.forEach((state, n) => {
    const many = columns.state.reduce((sum, one) => sum + (one === n), 0);
    if (many) find("state").append(new Option(`${state} (${many})`, n));
  });

  function look() {
    const asked = find("search").value.toLowerCase().split(/\s+/).filter(Boolean), state = find("state").value;
    order = [];
    for (let n = 0; n < total; n++)
      if ((state === "" || columns.state[n] === +state) && asked.every((word) => searched[n].includes(word))) order.push(n);
    if (sorted) {
      const numbers = ["attempt", "code", "waited", "ran"].includes(sorted), column = columns[sorted];
      const words = new Intl.Collator(undefined, { numeric: true });
      const texts = numbers ? null : Array.from({ length: total }, (_, n) => String(value(sorted, n)));
      order.sort((a, b) => (numbers ? column[a] - column[b] : words.compare(texts[a], texts[b])) || a - b);
      if (down) order.reverse();
    }
    for (const cell of head.cells)
      cell.setAttribute("aria-sort", cell.dataset.name !== sorted ? "none" : down ? "descending" : "ascending");
    find("count").textContent = `${order.length.toLocaleString()} of ${total.toLocaleString()} tasks`;
    find("rows").scrollTop = 0; draw();
  }

  function filler(rows) {
    const row = document.createElement("tr"), cell = row.insertCell();
    row.className = "fill"; cell.colSpan = NAMES.length; cell.style.height = `${rows * ROW}px`;
    return row;
  }

  function draw(all = false) {
    const box = find("rows"), first = all ? 0 : Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
    const last = all ? Math.min(order.length, 5000) : Math.min(order.length, first + Math.ceil(box.clientHeight / ROW) + 2 * SPARE);
    const rows = [filler(first)];
    for (const n of order.slice(first, last)) {
      const row = document.createElement("tr");
      for (const name of NAMES) {
        const cell = row.insertCell(), text = String(value(name, n));
        if (name === "state") {
          const mark = document.createElement("span");
          mark.className = `mark ${text === "terminated" ? "failed" : text}`; mark.textContent = text; cell.append(mark);
        } else { cell.textContent = text; cell.title = text; }
        if (["attempt", "code", "waited", "ran"].includes(name)) cell.className = "number";
      }
      rows.push(row);
    }
    rows.push(filler(order.length - last));
    find("body").replaceChildren(...rows);
  }

  find("search").oninput = look; find("state").onchange = look;
  find("rows").onscroll = () => requestAnimationFrame(() => draw());
  addEventListener("beforeprint", () => draw(true)); addEventListener("afterprint", () => draw());
  look();
  document.body.dataset.ready = "yes";
})();
