// Lets the reader run and change the cells of a page. The cells are in the page
// (#live-cells, put there by book/_ext/live.py); Python runs in live_worker.js and is
// loaded while the reader reads, or when a cell is first run.
const assets = new URL(".", document.currentScript.src);

document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const page = JSON.parse(document.getElementById("live-cells").textContent);
  const live = new URL("../live/", assets).href;
  const boxes = [...document.querySelectorAll("div.cell")].filter((box) =>
    box.querySelector(".cell_input pre"),
  );
  if (page.reason) return void boxes[0].before(make("p", "live-reason", page.reason));
  const obstacle = findObstacle();
  const cells = page.cells.map((cell, number) => ({
    ...cell,
    number,
    label: `cell ${number + 1} of ${page.cells.length}`,
    original: cell.source,
    ran: false,
    results: [], // as the worker sent them
    numbers: new Set(), // in the text, that follow this cell
  }));
  const numbers = Map.groupBy(
    document.querySelectorAll("article [data-glue]"),
    (shown) => shown.dataset.glue,
  );
  const KEY = `live ${location.pathname}`; // of changed code, in the session's storage
  let worker = null;
  let ready = null; // resolves when the worker has loaded Python
  let isReady = false;
  let interrupt = null;
  let busy = false;
  let clock = null;
  let arrived = ""; // how much of Python
  let receive = () => {}; // what to do with a message of the worker while a cell runs

  const bar = addBar();
  cells.filter((cell) => cell.shown).forEach((cell, n) => addControls(cell, boxes[n]));
  const parameters = addParameters();
  restore();
  if (parameters?.followAddress()) point(cells[0]);
  loadAhead();

  function findObstacle() {
    if (location.protocol === "file:")
      return (
        "This page was opened as a file, and browsers run code only in pages that " +
        "are served: type make serve in the folder of the book, and open the address " +
        "that it prints."
      );
    const able = window.WebAssembly && window.Worker;
    return able ? "" : "This browser cannot run WebAssembly.";
  }

  // ------------------------------------------------------------------ running cells
  // Run a cell, after those above it that have not run. The cells that set the
  // parameters start with an empty namespace.
  async function runTo(target) {
    if (obstacle || busy) return say(obstacle || "A cell is running: stop it first.");
    setBusy(true);
    try {
      await loaded();
      const waiting = cells.findIndex((cell) => !cell.ran);
      let first = waiting < 0 ? target : Math.min(waiting, target);
      if (first < page.setup) {
        first = 0;
        cells.forEach((cell) => setRan(cell, false));
      }
      for (const cell of cells.slice(first, target + 1))
        if (!(await runOne(cell))) return;
      const done =
        first === target ? `cell ${target + 1}` : `cells ${first + 1} to ${target + 1}`;
      say(`Ready. Ran ${done} of ${cells.length}.${aboutNumbers()}`, cells[target]);
    } catch (problem) {
      end();
      say(problem.message);
    } finally {
      setBusy(false);
    }
  }

  // The same as load(), for a reader who waits.
  async function loaded() {
    if (isReady) return;
    const began = performance.now();
    tick(() => `${arrived}${seconds(began)} s`);
    say("Loading Python, once per page.");
    await load().finally(() => tick(null));
  }

  async function runOne(cell) {
    if (cell.needs) {
      setRan(cell, true); // cells below may do without it
      return true;
    }
    const began = performance.now();
    tick(() => `${seconds(began)} s`);
    say(`Running ${cell.label}.`, cell);
    cell.box?.classList.add("live-running");
    try {
      const output = newOutput(cell);
      const error = await new Promise((resolve, reject) => {
        receive = (message) => {
          if (message.kind === "output") output.add(message);
          else if (message.kind === "done") resolve(message.error);
          else if (message.kind === "failed") reject(new Error(message.message));
        };
        const name = `<cell ${cell.number + 1}>`;
        const fresh = cell.number === 0;
        worker.postMessage({ kind: "run", source: cell.source, name, fresh });
      });
      output.finish(error, seconds(began));
      // cells below may do without a module that is missing
      const passed = !error || error === "ModuleNotFoundError";
      setRan(cell, passed);
      const what = `${cell.label.replace("cell", "Cell")} stopped: ${error}`;
      const more = "Its traceback is below it; earlier results are kept.";
      if (!passed) say(`${what}. ${more}`, cell);
      return passed;
    } finally {
      receive = () => {};
      cell.box?.classList.remove("live-running");
      tick(null);
    }
  }

  // Load Python while the reader reads: once they point at a cell or enter it, or have
  // scrolled and rest where one is in view. Not where they save data.
  function loadAhead() {
    const { saveData, effectiveType = "4g" } = navigator.connection ?? {};
    const isThrifty = matchMedia("(prefers-reduced-data: reduce)").matches || saveData;
    if (obstacle || isThrifty || effectiveType !== "4g") return;
    const boxes = cells.map((cell) => cell.box).filter(Boolean);
    const begin = () => {
      signs.abort();
      near.disconnect();
      const idle = window.requestIdleCallback ?? setTimeout;
      idle(() => load().catch(end)); // the next Run tries again, and says what failed
    };
    const signs = new AbortController();
    const { signal } = signs;
    let resting = 0;
    const near = new IntersectionObserver((seen) => {
      clearTimeout(resting);
      if (seen.some((one) => one.isIntersecting)) resting = setTimeout(begin, 1000);
    });
    const watch = () => boxes.forEach((box) => near.observe(box));
    addEventListener("scroll", watch, { once: true, passive: true, signal });
    for (const box of boxes)
      for (const sign of ["pointerenter", "focusin"])
        box.addEventListener(sign, begin, { once: true, signal });
  }

  // The worker with Python in it; loaded once.
  function load() {
    if (ready) return ready;
    const shared = window.crossOriginIsolated;
    interrupt = shared ? new Uint8Array(new SharedArrayBuffer(1)) : null;
    worker = new Worker(new URL("live_worker.js", assets), { type: "module" });
    let patience = 0;
    ready = new Promise((resolve, reject) => {
      const wait = () => {
        clearTimeout(patience);
        const message = "nothing has happened for three minutes";
        patience = setTimeout(() => receive({ kind: "failed", message }), 180_000);
      };
      wait();
      receive = ({ kind, bytes, total, message }) => {
        wait();
        if (kind === "ready") resolve((isReady = true));
        else if (kind === "loading")
          arrived = `${megabytes(bytes)} of ${megabytes(total)} MB, `;
        else
          reject(
            new Error(
              `Python could not be loaded: ${message}. This copy of the book may be ` +
                "incomplete.",
            ),
          );
      };
      worker.onmessage = ({ data }) => receive(data);
      worker.onerror = (event) => {
        event.preventDefault();
        const message = event.message || "the worker did not start";
        receive({ kind: "failed", message });
      };
      const formats = {};
      for (const [name, shown] of numbers)
        formats[name] = [...new Set(shown.map((one) => one.dataset.format))];
      worker.postMessage({ kind: "start", live, interrupt, warm: page.warm, formats });
    }).finally(() => clearTimeout(patience));
    return ready;
  }

  // Interrupt the running cell where the browser lets us; otherwise, or if that does
  // not help, end Python.
  function stop() {
    if (!busy) return;
    if (!interrupt || !isReady) return giveUp();
    interrupt[0] = 2;
    const asked = worker;
    const stuck = () => busy && worker === asked && interrupt[0] !== 0;
    setTimeout(() => stuck() && giveUp(), 3000);
  }

  function giveUp() {
    end();
    const message =
      "Stopped. What the cells had computed is lost; press Run to start again.";
    receive({ kind: "failed", message });
  }

  function end() {
    worker?.terminate();
    worker = ready = null;
    isReady = false;
    arrived = "";
    cells.forEach((cell) => setRan(cell, false));
  }

  // ------------------------------------------------------------------------- output
  // Collects the output of a cell. What is below the cell stays until there is
  // something to replace it.
  function newOutput(cell) {
    const root = make("div", "live-output");
    let text = null;
    let shown = false;
    cell.results = [];
    cell.trouble?.remove(); // the error of a hidden cell is shown at another cell
    const reveal = () => {
      if (shown || !cell.box) return;
      shown = true;
      cell.box.querySelector(":scope > .live-output")?.remove();
      cell.controls.after(root);
      cell.box.classList.add("live-has-output");
    };
    return {
      add({ type, data, width }) {
        if (type === "number") return showNumber(cell, ...JSON.parse(data));
        if (type === "values") return offerValues(...JSON.parse(data));
        cell.results.push({ type, data });
        if (type === "text") {
          if (!text) root.append((text = make("pre", "live-text")));
          text.append(data);
        } else {
          text = null;
          const render = { html: asTable, png: asFigure, error: asError }[type];
          root.append(render(data, cell, width));
        }
        reveal();
      },
      finish(error, time) {
        cell.failed = Boolean(error);
        if (error && !cell.box) nearest(cell).after((cell.trouble = root));
        const old = cell.box?.querySelector(".cell_output, .live-output");
        if (!root.childElementCount && !old) return;
        reveal();
        document.dispatchEvent(new Event("live-output"));
        const label = error
          ? `Live: stopped after ${time} s`
          : `Live: computed here in ${time} s`;
        root.prepend(make("p", "live-label", label));
      },
    };
  }

  // A number in text or caption follows the run; the book's is kept in its title.
  function showNumber(cell, name, form, text) {
    for (const shown of numbers.get(name) ?? [])
      if (shown.dataset.format === form) {
        shown.dataset.book ??= shown.textContent;
        const minus = shown.dataset.book.includes("\u2212") ? "\u2212" : "-";
        shown.textContent = /\d/.test(text) ? text.replace("-", minus) : text;
        shown.title = `computed in this page; the book has ${shown.dataset.book}`;
        shown.classList.add("live-number");
        shown.classList.remove("live-old");
        cell.numbers.add(shown);
      }
  }

  function restoreNumbers(cell) {
    for (const shown of cell.numbers) {
      shown.textContent = shown.dataset.book;
      shown.classList.remove("live-number", "live-old");
      shown.removeAttribute("title");
    }
    cell.numbers.clear();
  }

  function aboutNumbers() {
    const live = document.querySelectorAll(".live-number").length;
    return live ? " Underlined numbers in the text are from this run." : "";
  }

  // The CSV file below a figure or table follows the run too.
  function offerValues(file, csv) {
    const links = [...document.querySelectorAll("article a.values")];
    const link = links.find((one) => (one.dataset.book ?? one.href).endsWith(`/${file}`));
    if (!link) return;
    link.dataset.book ??= link.href;
    link.download = file;
    link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  }

  // The empty corner of a pandas table heads nothing (as in page.py).
  function asTable(html) {
    const box = make("div", "output text_html");
    const empty = /<th([^>]*)>((?:\s|&nbsp;)*)<\/th>/g;
    box.innerHTML = html.replace(empty, "<td$1>$2</td>");
    return box;
  }

  function asFigure(data, cell, width) {
    const still = cell.box?.querySelector(".cell_output img");
    const kind = still?.classList.contains("photo") ? "photo" : "plot";
    const image = make("img", kind);
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
    const absent =
      /ModuleNotFoundError: No module named '([\w.]+)'|\bneeds? (torch)\b/.exec(trace);
    const remedy =
      `This needs ${absent?.[1] ?? absent?.[2]}, which this page does not have. ` +
      "It runs in the notebook: make run, in a clone of the repository.";
    if (absent) box.append(make("p", "live-note", remedy));
    return box;
  }

  // The controls at which the error of a hidden cell is shown.
  function nearest(cell) {
    const below = cells.slice(cell.number).find((other) => other.box);
    return (below ?? cells.findLast((other) => other.box)).controls;
  }

  // ----------------------------------------------------------------------- controls
  // Below everything, from the first run on.
  function addBar() {
    const root = make("section", "live-bar");
    root.setAttribute("aria-label", "Live code");
    root.dataset.state = "off";
    root.hidden = true;
    const state = make("p", "live-state");
    state.setAttribute("role", "status");
    const progress = make("span", "live-progress");
    const go = button("Show", "Show the cell that this is about", () => point(bar.cell));
    const halt = button("Stop", "Stop the running cell", stop);
    const keep = button("Download my run", "Download my run as a notebook", download);
    const undo = "Reset page: code and results of the book";
    const buttons = make("div", "live-buttons");
    buttons.append(go, halt, keep, button("Reset page", undo, resetAll));
    root.append(state, progress, buttons);
    document.body.append(root);
    halt.hidden = go.hidden = true;
    return { root, state, progress, go, halt, cell: null };
  }

  // Controls of the parameters in the first cell, and buttons for the whole page.
  function addParameters() {
    const { box } = cells[0];
    if (!box) return null;
    const panel = make("div", "live-panel");
    const buttons = make("div", "live-buttons");
    const size = page.bytes ? ` (${megabytes(page.bytes)} MB, from this site only)` : "";
    const hint = `Python runs in your browser${size}. Code can be changed too: point at it.`;
    buttons.append(
      button("Run page", "Run all cells of this page", () => runTo(cells.length - 1)),
    );
    const quick = "Quick settings, for the cell of the parameters";
    if (page.quick) buttons.append(button("Quick settings", quick, useQuick));
    buttons.append(make("span", "live-hint", hint));
    const made = window.liveParameters(
      page.parameters,
      () => cells[0].source,
      (source) => change(cells[0], source),
    );
    panel.append(made.root, buttons);
    box.prepend(panel);
    return made;
  }

  async function download() {
    try {
      await window.liveNotebook(cells);
    } catch (problem) {
      say(problem.message);
    }
  }

  function point(cell) {
    const to = cell?.box ?? (cell && nearest(cell));
    to?.scrollIntoView({ block: "center" });
  }

  function addControls(cell, box) {
    const input = box.querySelector(".cell_input");
    cell.box = box;
    cell.controls = make("div", "live-controls");
    cell.note = make("span", "live-cell-note");
    cell.undo = button("Reset", `Reset ${cell.label}`, () => reset(cell));
    cell.undo.disabled = true;
    if (cell.needs)
      cell.note.textContent = `needs ${cell.needs}: it runs in the notebook, not here`;
    else
      cell.controls.append(
        button("Run", `Run ${cell.label}`, () => runTo(cell.number)),
        cell.undo,
      );
    cell.controls.append(cell.note);
    const fold = input.closest("details");
    if (fold) cell.controls.classList.add("live-folded");
    (fold ?? input).after(cell.controls);
    addEditor(cell, input.querySelector("pre"));
  }

  // A transparent text field over the coloured code.
  function addEditor(cell, pre) {
    const frame = make("div", "live-editor");
    const field = make("textarea", "");
    cell.pre = pre;
    cell.colours = pre.innerHTML;
    cell.field = field;
    pre.before(frame);
    frame.append(pre, field);
    const options = { rows: 1, spellcheck: false, wrap: "off" };
    Object.assign(field, options, { value: cell.source });
    field.setAttribute("autocapitalize", "off");
    field.setAttribute("autocomplete", "off");
    field.setAttribute("aria-label", `Code of ${cell.label}. Shift and Enter runs it.`);
    field.addEventListener("input", () => change(cell, field.value));
    field.addEventListener("focus", () => frame.scrollIntoView({ block: "nearest" }));
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      if (event.shiftKey || event.ctrlKey || event.metaKey) {
        event.preventDefault();
        return runTo(cell.number);
      }
      const line = field.value.slice(0, field.selectionStart).split("\n").pop();
      const deeper = line.trimEnd().endsWith(":") ? "    " : "";
      const indent = /^ */.exec(line)[0] + deeper;
      if (!indent) return;
      event.preventDefault();
      document.execCommand("insertText", false, `\n${indent}`);
    });
  }

  // New code for a cell: it and all below it count as not run.
  function change(cell, source) {
    cell.source = source;
    if (cell.field.value !== source) cell.field.value = source;
    const changed = source !== cell.original;
    if (changed) cell.pre.textContent = `${source}\n`;
    else cell.pre.innerHTML = cell.colours;
    cell.undo.disabled = !changed && !hasOutput(cell);
    if (cell.number === 0) parameters?.follow();
    keep();
    for (const other of cells.slice(cell.number)) {
      other.failed = false;
      setRan(other, false);
    }
  }

  // Changed code survives leaving the page.
  function keep() {
    const changed = cells.filter((cell) => cell.source !== cell.original);
    const kept = changed.map(({ number, original, source }) => ({
      number,
      original,
      source,
    }));
    try {
      if (kept.length) sessionStorage.setItem(KEY, JSON.stringify(kept));
      else sessionStorage.removeItem(KEY);
    } catch {} // without storage, changes last as long as the page
  }

  function restore() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
      for (const { number, original, source } of kept)
        if (cells[number]?.field && cells[number].original === original)
          change(cells[number], source);
    } catch {}
  }

  function reset(cell) {
    if (busy) return say("A cell is running: stop it first.");
    cell.failed = false;
    if (cell.source !== cell.original) change(cell, cell.original);
    cell.box.querySelectorAll(":scope > .live-output").forEach((old) => old.remove());
    cell.box.classList.remove("live-has-output");
    cell.undo.disabled = true;
    cell.results = [];
    restoreNumbers(cell);
    note(cell);
  }

  function resetAll() {
    if (busy) giveUp();
    else end();
    setBusy(false);
    cells.filter((cell) => cell.box).forEach(reset);
    cells.forEach(restoreNumbers);
    document.querySelectorAll("a.values[data-book]").forEach((link) => {
      link.href = link.dataset.book;
    });
    const message =
      "Code and results are those of the book again; the next Run starts Python anew.";
    say(obstacle || message);
  }

  function useQuick() {
    if (busy) return say("A cell is running: stop it first.");
    if (!cells[0].box) return;
    change(cells[0], page.quick.source);
    say(
      "Quick settings are set. Results will be rougher than those of the book, whose " +
        "settings take longer here.",
    );
  }

  function setRan(cell, ran) {
    cell.ran = ran;
    for (const shown of cell.numbers) shown.classList.toggle("live-old", !ran);
    if (cell.box && !cell.needs) note(cell);
  }

  function hasOutput(cell) {
    return cell.box.classList.contains("live-has-output");
  }

  function note(cell) {
    const output = hasOutput(cell);
    cell.note.textContent = stateOf(cell, output);
    cell.box.classList.toggle("live-stale", output && !cell.ran);
    if (output) cell.undo.disabled = false;
  }

  function stateOf(cell, output) {
    if (cell.ran) return output ? "" : "ran";
    if (cell.failed) return "stopped with an error";
    if (cell.source !== cell.original) return "changed, not run";
    return output ? "not run since" : "";
  }

  function setBusy(value) {
    busy = value;
    bar.halt.hidden = !value;
    bar.root.dataset.state = value ? "running" : ready ? "ready" : "off";
    bar.root.setAttribute("aria-busy", value);
  }

  // -------------------------------------------------------------------------- small
  function say(text, cell = null) {
    bar.root.hidden = false;
    bar.state.textContent = text;
    bar.cell = cell;
    bar.go.hidden = !cell;
    const room = `${bar.root.offsetHeight + 8}px`; // it covers nothing that is pointed at
    document.documentElement.style.scrollPaddingBottom = room;
    document.body.style.paddingBottom = room;
  }

  function tick(text) {
    clearInterval(clock);
    const show = () => (bar.progress.textContent = text ? text() : "");
    show();
    if (text) clock = setInterval(show, 250);
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
});
