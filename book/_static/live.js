// Lets the reader run and change the cells of a page. The cells are in the page
// (#live-cells, put there by book/_ext/live.py); Python runs in live_worker.js and is
// loaded the first time that a cell is run.
const assets = new URL(".", document.currentScript.src);

document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const page = JSON.parse(document.getElementById("live-cells").textContent);
  const live = new URL("../live/", assets).href;
  const boxes = [...document.querySelectorAll("div.cell")].filter((box) =>
    box.querySelector(".cell_input pre"),
  );
  const obstacle = findObstacle();
  const cells = page.cells.map((cell, number) => ({
    ...cell,
    number,
    label: `cell ${number + 1} of ${page.cells.length}`,
    original: cell.source,
    ran: false,
  }));
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
  say(obstacle || "Python is not loaded yet.");
  loadAhead();

  function findObstacle() {
    if (location.protocol === "file:")
      return (
        "This page was opened as a file, and browsers run code only in pages that " +
        "are served: type make serve in the folder of the book, and open the address " +
        "that it prints."
      );
    if (page.reason) return page.reason;
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
      say(`Ready. Ran ${done} of ${cells.length}.`);
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
    tick(() => `Loading Python: ${arrived}${seconds(began)} s`);
    say("Loading Python, once per page.");
    await load().finally(() => tick(null));
  }

  async function runOne(cell) {
    const began = performance.now();
    tick(() => `Running ${cell.label}, ${seconds(began)} s`);
    say(`Running ${cell.label}.`);
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
      if (!passed) say(`${what}. Its traceback is below it; earlier results are kept.`);
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
      worker.postMessage({ kind: "start", live, interrupt, warm: page.warm });
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
        const captioned = cell.box?.querySelector("figcaption");
        const note = captioned ? "; numbers in the caption are the book's" : "";
        const label = error
          ? `Live: stopped after ${time} s`
          : `Live: computed here in ${time} s${note}`;
        root.prepend(make("p", "live-label", label));
      },
    };
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
  function addBar() {
    const root = make("section", "live-bar");
    root.setAttribute("aria-label", "Live code");
    const size = page.bytes ? `${megabytes(page.bytes)} MB, ` : "";
    const intro =
      "Every cell of this page runs in your browser: press Run, change the code, run " +
      `it again. The first Run loads Python (${size}from this site only).`;
    if (!page.reason) root.append(make("p", "live-intro", intro));
    const buttons = make("div", "live-buttons");
    const halt = button("Stop", "Stop the running cell", stop);
    halt.disabled = true;
    buttons.append(
      button("Run all", "Run all cells of this page", () => runTo(cells.length - 1)),
    );
    const quick = "Quick settings, for the cell of the parameters";
    if (page.quick) buttons.append(button("Quick settings", quick, useQuick));
    buttons.append(
      halt,
      button("Reset page", "Reset page: code and results of the book", resetAll),
    );
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
    cell.note = make("span", "live-cell-note");
    cell.undo = button("Reset", `Reset ${cell.label}`, () => reset(cell));
    cell.undo.disabled = true;
    const run = button("Run", `Run ${cell.label}`, () => runTo(cell.number));
    cell.controls.append(run, cell.undo, cell.note);
    (input.closest("details") ?? input).after(cell.controls);
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
    for (const other of cells.slice(cell.number)) {
      other.failed = false;
      setRan(other, false);
    }
  }

  function reset(cell) {
    if (busy) return say("A cell is running: stop it first.");
    cell.failed = false;
    if (cell.source !== cell.original) change(cell, cell.original);
    cell.box.querySelectorAll(":scope > .live-output").forEach((old) => old.remove());
    cell.box.classList.remove("live-has-output");
    cell.undo.disabled = true;
    note(cell);
  }

  function resetAll() {
    if (busy) giveUp();
    else end();
    setBusy(false);
    cells.filter((cell) => cell.box).forEach(reset);
    const message =
      "Code and results are those of the book again; the next Run starts Python anew.";
    say(obstacle || message);
  }

  function useQuick() {
    if (busy) return say("A cell is running: stop it first.");
    if (!cells[0].box) return;
    change(cells[0], page.quick.source);
    cells[0].box.querySelectorAll("details").forEach((folded) => (folded.open = true));
    cells[0].field.focus();
    say(
      "Quick settings are in the first cell. Results will be rougher than those of " +
        "the book, whose settings take longer here.",
    );
  }

  function setRan(cell, ran) {
    cell.ran = ran;
    if (cell.box) note(cell);
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
    bar.halt.disabled = !value;
    bar.root.dataset.state = value ? "running" : ready ? "ready" : "off";
    bar.root.setAttribute("aria-busy", value);
  }

  // -------------------------------------------------------------------------- small
  function say(text) {
    bar.state.textContent = text;
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
