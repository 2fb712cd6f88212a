// Lets the reader run and change the cells of a page. The cells are in the page (#live-cells, put there by
// scripts/build_live.py); Python runs in live_worker.js and is loaded the first time that a cell is run.
document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const page = JSON.parse(document.getElementById("live-cells").textContent);
  const assets = new URL(".", document.querySelector('script[src$="/live.js"]').src);
  const live = new URL("../live/", assets).href;
  const boxes = [...document.querySelectorAll("div.cell")].filter((box) => box.querySelector(".cell_input pre"));
  const obstacle = findObstacle();
  const cells = page.cells.map((cell, number) => ({ ...cell, number, original: cell.source, ran: false }));
  let worker = null, ready = null, interrupt = null, busy = false, clock = null;
  let receive = () => {}; // what to do with a message of the worker while a cell runs

  const bar = addBar();
  cells.filter((cell) => cell.shown).forEach((cell, n) => addControls(cell, boxes[n]));
  say(obstacle || "Python is not loaded yet.");

  function findObstacle() {
    if (location.protocol === "file:")
      return "This page was opened as a file, and a browser runs code only in pages that are served: " +
        "type make serve in the folder of the book, and open the address that it prints.";
    if (page.reason) return page.reason;
    if (!window.WebAssembly || !window.Worker) return "This browser cannot run WebAssembly.";
    return "";
  }

  // ------------------------------------------------------------------------------------------------- running cells
  // Run a cell, after those above it that have not run. The cells that set the parameters start afresh.
  async function runTo(target) {
    if (obstacle || busy) return say(obstacle || "A cell is running: stop it first.");
    setBusy(true);
    try {
      await load();
      const waiting = cells.findIndex((cell) => !cell.ran);
      let first = waiting < 0 ? target : Math.min(waiting, target);
      if (first < page.setup) {
        first = 0;
        cells.forEach((cell) => setRan(cell, false));
      }
      for (const cell of cells.slice(first, target + 1)) if (!(await runOne(cell, cell.number === 0))) return;
      say(`Ready. Ran ${first === target ? `cell ${target + 1}` : `cells ${first + 1} to ${target + 1}`} of ${cells.length}.`);
    } catch (problem) {
      end();
      say(problem.message);
    } finally {
      setBusy(false);
    }
  }

  async function runOne(cell, fresh) {
    const began = performance.now();
    tick(() => `Running cell ${cell.number + 1} of ${cells.length}, ${seconds(began)} s`);
    say(`Running cell ${cell.number + 1} of ${cells.length}.`);
    cell.box?.classList.add("live-running");
    try {
      const output = newOutput(cell);
      const error = await new Promise((resolve, reject) => {
        receive = (message) => {
          if (message.kind === "output") output.add(message);
          else if (message.kind === "done") resolve(message.error);
          else if (message.kind === "failed") reject(new Error(message.message));
        };
        worker.postMessage({ kind: "run", source: cell.source, name: `<cell ${cell.number + 1}>`, fresh });
      });
      output.finish(error, seconds(began));
      const absent = error === "ModuleNotFoundError"; // cells below may do without
      setRan(cell, !error || absent);
      if (error && !absent) say(`Cell ${cell.number + 1} of ${cells.length} stopped: ${error}. Its traceback is under it; earlier results are kept.`);
      return !error || absent;
    } finally {
      receive = () => {};
      cell.box?.classList.remove("live-running");
      tick(null);
    }
  }

  // The worker with Python in it; loaded once.
  function load() {
    if (ready) return ready;
    const began = performance.now();
    let arrived = "";
    tick(() => `Loading Python: ${arrived}${seconds(began)} s`);
    say("Loading Python, once per page.");
    interrupt = window.crossOriginIsolated ? new Uint8Array(new SharedArrayBuffer(1)) : null;
    worker = new Worker(new URL("live_worker.js", assets), { type: "module" });
    ready = new Promise((resolve, reject) => {
      receive = (message) => {
        if (message.kind === "loading") arrived = `${megabytes(message.bytes)} of ${megabytes(message.total)} MB, `;
        else if (message.kind === "ready") resolve();
        else reject(new Error(`Python could not be loaded; its files are perhaps not with this copy of the book. (${message.message})`));
      };
      worker.onmessage = ({ data }) => receive(data);
      worker.onerror = (event) => {
        event.preventDefault();
        receive({ kind: "failed", message: event.message || "the worker did not start" });
      };
      worker.postMessage({ kind: "start", live, version: page.version, interrupt });
    }).finally(() => tick(null));
    return ready;
  }

  // Interrupt the running cell where the browser lets us; otherwise, or if that does not help, end Python.
  function stop() {
    if (!busy) return;
    if (!interrupt || bar.root.dataset.state === "loading") return giveUp();
    interrupt[0] = 2;
    const asked = worker;
    setTimeout(() => busy && worker === asked && interrupt[0] !== 0 && giveUp(), 3000);
  }

  function giveUp() {
    end();
    receive({ kind: "failed", message: "Stopped. What the cells had computed is gone; press Run to begin again." });
  }

  function end() {
    worker?.terminate();
    worker = ready = null;
    cells.forEach((cell) => setRan(cell, false));
  }

  // ------------------------------------------------------------------------------------------------------- output
  // Collects what a cell gives. What stands under the cell stays until there is something to replace it.
  function newOutput(cell) {
    const root = document.createElement("div");
    root.className = "live-output";
    let text = null, shown = false;
    cell.trouble?.remove(); // the error of a cell that is not shown stands beside another one
    const reveal = () => {
      if (shown || !cell.box) return;
      shown = true;
      cell.box.querySelector(":scope > .live-output")?.remove();
      cell.controls.after(root);
      cell.box.classList.add("live-has-output");
    };
    return {
      add({ type, data, width }) {
        if (type === "text") {
          if (!text) root.append((text = make("pre", "live-text")));
          text.append(data);
        } else {
          text = null;
          root.append({ html: asTable, png: asFigure, error: asError }[type](data, cell, width));
        }
        reveal();
      },
      finish(error, time) {
        cell.failed = Boolean(error);
        if (error && !cell.box) nearest(cell).after((cell.trouble = root));
        if (!root.childElementCount && !cell.box?.querySelector(".cell_output, .live-output")) return;
        reveal();
        const caption = cell.box?.querySelector("figcaption") ? "; numbers in the caption are the book's" : "";
        document.dispatchEvent(new Event("live-output"));
        root.prepend(make("p", "live-label", error ? `Live: stopped after ${time} s` : `Live: computed here in ${time} s${caption}`));
      },
    };
  }

  function asTable(html) {
    return Object.assign(make("div", "output text_html"), { innerHTML: html });
  }

  function asFigure(data, cell, width) {
    const still = cell.box?.querySelector(".cell_output img");
    const image = make("img", still?.classList.contains("photo") ? "photo" : "plot");
    image.src = `data:image/png;base64,${data}`;
    image.alt = `Drawn again in this page. ${still?.alt ?? "A figure of this cell."}`;
    image.width = width;
    const box = make("div", "live-figure");
    box.append(image);
    return box;
  }

  function asError(trace) {
    const box = make("div", "live-error");
    const pre = make("pre", "", trace);
    pre.tabIndex = 0;
    box.append(pre);
    const missing = /ModuleNotFoundError: No module named '([\w.]+)'|\bneeds? (torch)\b/.exec(trace);
    if (missing) box.append(whereItRuns(missing[1] ?? missing[2]));
    return box;
  }

  // For what no browser can do: the services that the book is set up for, if any (_config.yml).
  function whereItRuns(name) {
    const links = [...document.querySelectorAll(".dropdown-launch-buttons a[href]")].map((link) => link.cloneNode());
    links.forEach((link) => Object.assign(link, { className: "", textContent: new URL(link.href).hostname }));
    const note = make("p", "live-note", `This needs ${name}, which this page does not have. It runs in the notebook: `);
    note.append(make("code", "", "make run"), " in a clone of the repository");
    links.forEach((link) => note.append(", or at ", link));
    note.append(".");
    return note;
  }

  // The controls beside which the error of a cell that is not shown can be read.
  function nearest(cell) {
    return (cells.slice(cell.number).find((other) => other.box) ?? cells.findLast((other) => other.box)).controls;
  }

  // ----------------------------------------------------------------------------------------------------- controls
  function addBar() {
    const root = make("section", "live-bar");
    root.setAttribute("aria-label", "Live code");
    const size = page.bytes ? `${megabytes(page.bytes)} MB, ` : "";
    if (!page.reason) root.append(make("p", "live-intro",
      `Every cell of this page runs in your browser: press Run, change the code, run it again. The first Run loads Python (${size}from this site only).`));
    const buttons = make("div", "live-buttons");
    const run = button("Run all", "Run all cells of this page", () => runTo(cells.length - 1));
    const halt = button("Stop", "Stop the running cell", stop);
    const restore = button("Reset page", "Reset page: code and results of the book", resetAll);
    const quick = page.quick && button("Quick settings", "Quick settings, for the cell of the parameters", useQuick);
    buttons.append(...[run, quick, halt, restore].filter(Boolean));
    halt.disabled = true;
    const state = make("p", "live-state");
    state.setAttribute("role", "status");
    const progress = make("p", "live-progress");
    root.append(buttons, state, progress);
    document.querySelector("article h1").after(root);
    return { root, state, progress, halt };
  }

  function addControls(cell, box) {
    const input = box.querySelector(".cell_input");
    cell.box = box;
    cell.controls = make("div", "live-controls");
    const label = `cell ${cell.number + 1} of ${cells.length}`;
    cell.note = make("span", "live-cell-note");
    cell.controls.append(
      button("Run", `Run ${label}`, () => runTo(cell.number)),
      (cell.undo = button("Reset", `Reset ${label}`, () => reset(cell))), cell.note);
    cell.undo.disabled = true;
    (input.closest("details") ?? input).after(cell.controls);
    addEditor(cell, input.querySelector("pre"), label);
  }

  // A transparent text field over the coloured code.
  function addEditor(cell, pre, label) {
    const frame = make("div", "live-editor"), field = make("textarea", "");
    cell.pre = pre;
    cell.colours = pre.innerHTML;
    cell.field = field;
    pre.before(frame);
    frame.append(pre, field);
    Object.assign(field, { value: cell.source, rows: 1, spellcheck: false, autocomplete: "off", wrap: "off" });
    field.setAttribute("autocapitalize", "off");
    field.setAttribute("aria-label", `Code of ${label}. Shift and Enter runs it.`);
    field.addEventListener("input", () => change(cell, field.value));
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      if (event.shiftKey || event.ctrlKey || event.metaKey) {
        event.preventDefault();
        runTo(cell.number);
      } else {
        const line = field.value.slice(0, field.selectionStart).split("\n").pop();
        const indent = /^ */.exec(line)[0] + (line.trimEnd().endsWith(":") ? "    " : "");
        if (indent) {
          event.preventDefault();
          document.execCommand("insertText", false, `\n${indent}`);
        }
      }
    });
  }

  // New code for a cell: it and all below it count as not run.
  function change(cell, source) {
    cell.source = source;
    if (cell.field.value !== source) cell.field.value = source;
    const changed = source !== cell.original;
    cell.pre.innerHTML = changed ? coloured(source) : cell.colours;
    cell.undo.disabled = !changed && !cell.box.classList.contains("live-has-output");
    cells.slice(cell.number).forEach((other) => { other.failed = false; setRan(other, false); });
  }

  function reset(cell) {
    cell.failed = false;
    if (busy) return say("A cell is running: stop it first.");
    if (cell.source !== cell.original) change(cell, cell.original);
    cell.box.querySelectorAll(":scope > .live-output").forEach((output) => output.remove());
    cell.box.classList.remove("live-has-output");
    cell.undo.disabled = true;
    note(cell);
  }

  function resetAll() {
    if (busy) giveUp();
    else end();
    setBusy(false);
    cells.filter((cell) => cell.box).forEach(reset);
    say(obstacle || "Code and results are those of the book again; Python begins anew with the next Run.");
  }

  function useQuick() {
    if (busy) return say("A cell is running: stop it first.");
    if (!cells[0].box) return;
    change(cells[0], page.quick.source);
    cells[0].box.querySelectorAll("details").forEach((details) => (details.open = true));
    cells[0].field.focus();
    say("Quick settings are in the first cell; results will be rougher than the book's, whose settings take longer here.");
  }

  function setRan(cell, ran) {
    cell.ran = ran;
    if (cell.box) note(cell);
  }

  function note(cell) {
    const live = cell.box.classList.contains("live-has-output");
    cell.note.textContent = cell.ran ? (live ? "" : "ran") : cell.failed ? "stopped with an error" : cell.source !== cell.original ? "changed, not run" : live ? "not run since" : "";
    cell.box.classList.toggle("live-stale", live && !cell.ran);
    if (live) cell.undo.disabled = false;
  }

  function setBusy(value) {
    busy = value;
    bar.halt.disabled = !value;
    bar.root.dataset.state = value ? "running" : ready ? "ready" : "off";
    bar.root.setAttribute("aria-busy", value);
  }

  // ------------------------------------------------------------------------------------------------------- small
  function say(text) {
    bar.state.textContent = text;
  }

  function tick(text) {
    clearInterval(clock);
    bar.progress.textContent = text ? text() : "";
    if (text) clock = setInterval(() => (bar.progress.textContent = text()), 250);
  }

  function make(tag, className, text) {
    const element = document.createElement(tag);
    element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function button(text, label, action) {
    const made = make("button", "live-button", text);
    made.type = "button";
    made.setAttribute("aria-label", label);
    made.addEventListener("click", action);
    return made;
  }

  function seconds(began) {
    return ((performance.now() - began) / 1000).toFixed(1);
  }

  function megabytes(bytes) {
    return Math.round(bytes / 1e6);
  }

  // Python in the colours that the rest of the page has (class names of Pygments).
  function coloured(source) {
    const words = "False|None|True|and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|" +
      "from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield";
    const token = new RegExp(
      "(#[^\\n]*)|([rbfuRBFU]{0,2}(?:\"\"\"[^]*?\"\"\"|'''[^]*?'''|\"(?:\\\\.|[^\"\\\\\\n])*\"?|'(?:\\\\.|[^'\\\\\\n])*'?))" +
      `|\\b(\\d[\\w.]*)|\\b(${words})\\b|([A-Za-z_]\\w*)|([-+*/%=<>!&|^~@]+)`, "g");
    const classes = ["c1", "s2", "mi", "k", "n", "o"];
    const safe = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
    let html = "", at = 0;
    for (const found of source.matchAll(token)) {
      const kind = classes[found.slice(1).findIndex((group) => group !== undefined)];
      html += `${safe(source.slice(at, found.index))}<span class="${kind}">${safe(found[0])}</span>`;
      at = found.index + found[0].length;
    }
    return `${html}${safe(source.slice(at))}\n`;
  }
});
