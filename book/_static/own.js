// The page book/try_your_own.md: the reader's own activations or photographs, analysed
// in the worker that also runs live cells (live_worker.js), by own_runner.py.
//
// Texts from files are set as text, never as HTML. Nothing is sent: files go to the
// worker, and what it has made comes back from it.
const ownAssets = new URL(".", document.currentScript.src);

document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const root = document.getElementById("own-app");
  const about = JSON.parse(document.getElementById("own-about").textContent);
  const live = new URL("../live/", ownAssets).href;
  const LOAD = "import matplotlib, numpy, pandas, PIL, scipy, seaborn\nimport own_runner";
  const ANSWER = 'own_runner.answer("/book/own/in", "/book/own/out")';
  const given = { files: [], judgments: null };
  let worker = null;
  let ready = null;
  let receive = () => {};
  let busy = false;
  let halted = ""; // why the reader's request was ended
  let clock = 0;
  let addresses = []; // of the files offered, for as long as they are

  // --------------------------------------------------------------------------- page
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes))
      element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const options = (pairs) =>
    pairs.map(([value, text]) => make("option", { value }, text));
  const field = (text, box, ...more) =>
    make("div", { class: "own-field" }, make("label", { for: box.id }, text), box, ...more);
  const button = (text, action) => {
    const made = make("button", { type: "button" }, text);
    made.addEventListener("click", action);
    return made;
  };

  const suffix = (file) => /\.[^.]*$/.exec(file.name.toLowerCase())?.[0] ?? "";
  const isPhoto = (file) => about.photos.includes(suffix(file));
  const size = (bytes) => `${(bytes / 2 ** 20).toPrecision(3)} MB`;
  const shortened = (name) => (name.length > 40 ? `${name.slice(0, 39)}…` : name);

  const types = [...about.files, ...about.photos].join(",");
  const files = make("input", { type: "file", id: "own-files", accept: types });
  files.multiple = true;
  const chosen = make("p", { class: "own-chosen" });
  const drop = make(
    "div",
    { class: "own-drop" },
    make("label", { for: "own-files" }, "Activations or photographs"),
    files,
    chosen,
  );
  const judged = make("input", {
    type: "file",
    id: "own-judgments",
    accept: about.files.join(","),
  });
  const kind = make(
    "select",
    { id: "own-kind" },
    ...options([
      ["", "please say"],
      ["similarity", "more alike (similarity)"],
      ["dissimilarity", "less alike (dissimilarity)"],
    ]),
  );
  const array = make("input", { id: "own-array", type: "text", maxlength: 200 });
  const judgedArray = make("input", {
    id: "own-judged-array",
    type: "text",
    maxlength: 200,
  });
  const layers = about.layers.map((name) => [name, name]);
  const layer = make("select", { id: "own-layer" }, ...options(layers));
  layer.value = "fire9";
  const measure = make(
    "select",
    { id: "own-similarity" },
    ...options(about.similarities),
  );
  const compute = button("Compute", () => start(false));
  const example = button("Use the book's 92 objects", () => start(true));
  const stop = button("Stop", () => halt("Stopped. Python has to be loaded again."));
  const state = make("p", { class: "own-state", role: "status" });
  const progress = make("p", { class: "own-progress" });
  const results = make("div", { class: "own-results" });
  compute.classList.add("own-compute");
  stop.disabled = true;
  const more = make("details", {}, make("summary", {}, "Files with several arrays"));
  more.append(
    field("Name of the array of activations", array),
    field("Name of the array of judgments", judgedArray),
  );
  root.replaceChildren(
    drop,
    make(
      "div",
      { class: "own-fields" },
      field("Judgments (optional)", judged),
      field("In the judgments, larger numbers mean", kind),
      field("Similarity between images", measure),
      field("Layer of SqueezeNet, for photographs", layer),
    ),
    more,
    make("div", { class: "own-buttons" }, compute, example, stop),
    state,
    progress,
    results,
  );
  const obstacle = findObstacle();
  setBusy(false);
  say(obstacle || "Python is loaded when you compute for the first time.");
  note();

  function findObstacle() {
    if (location.protocol === "file:")
      return (
        "This page was opened as a file, and browsers run code only in pages that " +
        "are served: type make serve in the folder of the book, and open the address " +
        "that it prints."
      );
    if (about.reason) return about.reason;
    const able = window.WebAssembly && window.Worker;
    return able ? "" : "This browser cannot run WebAssembly.";
  }

  // -------------------------------------------------------------------------- files
  /** Why files cannot be used, or "". The worker looks into them; this saves memory. */
  function refusal(all) {
    if (!all.length) return "Choose a file of activations, or photographs.";
    const photos = all.filter(isPhoto);
    if (photos.length && photos.length < all.length)
      return "Give either photographs or a file of activations, not both.";
    if (!photos.length && all.length > 1)
      return "Give one file of activations; judgments go into the field below it.";
    if (photos.length && (photos.length < about.fewest || photos.length > about.mostPhotos))
      return `This page needs ${about.fewest} to ${about.mostPhotos} photographs; got ${photos.length}.`;
    return all.map(tooLarge).find(Boolean) ?? "";
  }

  function tooLarge(file) {
    const isText = [".csv", ".tsv", ".txt"].includes(suffix(file));
    const table = isText ? about.largestText : about.largestFile;
    const most = isPhoto(file) ? about.largestPhoto : table;
    if (file.size <= most) return "";
    return (
      `${shortened(file.name)} has ${size(file.size)}, and this page takes ` +
      `${size(most)} at most; give fewer images, or use make report.`
    );
  }

  function choose(all) {
    given.files = [...all].sort((a, b) => (a.name < b.name ? -1 : 1));
    note();
    const wrong = given.files.length ? refusal(given.files) : "";
    if (!obstacle && !busy && given.files.length) say(wrong || "Ready to compute.");
  }

  function note() {
    const names = given.files.slice(0, 4).map((file) => shortened(file.name));
    const rest = given.files.length - names.length;
    chosen.textContent = names.length
      ? names.join(", ") + (rest > 0 ? ` and ${rest} more` : "")
      : `Drop them here. Up to ${about.mostPhotos} photographs, or a file of up to ` +
        `${size(about.largestFile)}.`;
    const photographs = given.files.length > 0 && given.files.every(isPhoto);
    layer.disabled = !photographs;
    array.disabled = photographs;
  }

  files.addEventListener("change", () => choose(files.files));
  judged.addEventListener("change", () => (given.judgments = judged.files[0] ?? null));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    files.value = "";
    choose(event.dataTransfer.files);
  });

  // ---------------------------------------------------------------------- computing
  async function start(isExample) {
    if (obstacle || busy) return say(obstacle || "Computing already: stop it first.");
    const all = isExample ? [] : given.files;
    const wrong = isExample ? "" : refusal(all) || judgedRefusal();
    if (wrong) return say(wrong);
    setBusy(true);
    halted = "";
    results.replaceChildren();
    try {
      await load();
      const began = performance.now();
      let step = "Reading";
      tick(() => `${step}, ${seconds(began)} s`);
      say("Computing.");
      await send(all, isExample);
      const error = await run(ANSWER, false, (text) => (step = text));
      if (error) throw new Error(`This could not be computed (${error}).`);
      const answer = JSON.parse(new TextDecoder().decode(await fetched("answer.json")));
      if (answer.refused) return say(answer.refused);
      await show(answer, isExample);
      say(`Computed in ${seconds(began)} s, on this machine.`);
    } catch (problem) {
      end();
      say(halted || problem.message);
    } finally {
      tick(null);
      setBusy(false);
    }
  }

  function judgedRefusal() {
    if (!given.judgments) return "";
    if (!kind.value) {
      kind.focus();
      return "Say whether larger numbers in the judgments mean more alike or less.";
    }
    return tooLarge(given.judgments);
  }

  /** Give the worker the files and what to do with them. */
  async function send(all, isExample) {
    const judgments = isExample ? null : given.judgments;
    const photographs = all.filter(isPhoto).map((file) => file.name);
    for (const file of all) await put(`given/${file.name}`, file);
    if (judgments) await put(`judgments/${judgments.name}`, judgments);
    const request = {
      activations: photographs.length || isExample ? "" : all[0].name,
      photographs,
      layer: layer.value,
      array: isExample ? "" : array.value,
      reference: judgments?.name ?? "",
      kind: kind.value,
      reference_array: judgedArray.value,
      similarity: measure.value,
      width: root.clientWidth < 500 ? 4 : 7.2,
    };
    await put("request.json", new Blob([JSON.stringify(request)]));
  }

  async function put(path, blob) {
    const content = await blob.arrayBuffer().catch(() => {
      throw new Error(`${path.split("/").pop()} could not be read; choose it again.`);
    });
    worker.postMessage({ kind: "put", path: `own/in/${path}`, content }, [content]);
  }

  /** Run Python and tell what it prints; resolves with the name of an exception, or "". */
  function run(source, fresh, step) {
    return new Promise((resolve, reject) => {
      receive = ({ kind, type, data, error, message }) => {
        if (kind === "output" && type === "text") step(data.trim().split("\n").pop());
        else if (kind === "done") resolve(error);
        else if (kind === "failed") reject(new Error(message));
      };
      worker.postMessage({ kind: "run", source, name: "<page>", fresh });
    });
  }

  function fetched(name) {
    return new Promise((resolve, reject) => {
      receive = ({ kind, content, message }) => {
        if (kind === "file") resolve(content);
        else if (kind === "failed") reject(new Error(message));
      };
      worker.postMessage({ kind: "get", path: `own/out/${name}` });
    });
  }

  /** The worker with Python in it; loaded once. */
  function load() {
    if (ready) return ready;
    const began = performance.now();
    let arrived = "";
    tick(() => `Loading Python: ${arrived}${seconds(began)} s`);
    say("Loading Python, once per page.");
    worker = new Worker(new URL("live_worker.js", ownAssets), { type: "module" });
    ready = new Promise((resolve, reject) => {
      receive = ({ kind, bytes, total, message }) => {
        if (kind === "ready") resolve();
        else if (kind === "loading")
          arrived = `${Math.round(bytes / 1e6)} of ${Math.round(total / 1e6)} MB, `;
        else if (kind === "failed")
          reject(new Error(`Python could not be loaded: ${message}.`));
      };
      worker.onmessage = ({ data }) => receive(data);
      worker.onerror = (event) => {
        event.preventDefault();
        receive({ kind: "failed", message: event.message || "the worker stopped" });
      };
      worker.postMessage({ kind: "start", live, interrupt: null });
    }).then(async () => {
      arrived = "its libraries, ";
      const error = await run(LOAD, true, () => {});
      if (error) throw new Error(`Python's libraries could not be loaded (${error}).`);
    });
    return ready;
  }

  function halt(message) {
    if (!busy) return;
    const waiting = receive;
    halted = message;
    end();
    waiting({ kind: "failed", message });
  }

  function end() {
    worker?.terminate();
    worker = ready = null;
    receive = () => {};
  }

  // ------------------------------------------------------------------------ results
  async function show(answer, isExample) {
    addresses.forEach((address) => URL.revokeObjectURL(address));
    addresses = [];
    const contents = {};
    for (const name of answer.files) contents[name] = await fetched(name);
    const link = (name, text) => {
      const type = TYPES[name.split(".").pop()];
      const href = URL.createObjectURL(new Blob([contents[name]], { type }));
      addresses.push(href);
      return make("a", { href, download: name }, text);
    };
    const title = isExample ? "The book's 92 objects" : "Your own";
    const said = answer.sentences.map((sentence) => make("li", {}, sentence));
    const counts = answer.counts.map(([name, n, share]) => [
      name,
      n.toLocaleString("en"),
      `${(100 * share).toFixed(1)} %`,
    ]);
    const parts = [
      make("h2", { tabindex: -1 }, title),
      make("ul", {}, ...said),
      table("Nodes of each kind", ["kind", "nodes", "share"], counts),
    ];
    if (answer.layers) parts.push(layerTable(answer.layers));
    for (const figure of answer.figures) parts.push(await drawn(figure, contents, link));
    const others = [
      link("try_your_own.zip", "everything as one archive"),
      link("try_your_own.ipynb", "a notebook that does it again"),
      link("nodes.csv", "every node's PoZ (CSV)"),
    ];
    if (answer.layers) others.push(link("layers.csv", "PoZ by layer (CSV)"));
    const list = others.map((one) => make("li", {}, one));
    parts.push(make("h3", {}, "To keep"), make("ul", {}, ...list));
    results.replaceChildren(...parts);
    parts[0].focus({ preventScroll: false });
  }

  const TYPES = {
    csv: "text/csv",
    png: "image/png",
    zip: "application/zip",
    ipynb: "application/x-ipynb+json",
  };

  function layerTable({ columns, rows }) {
    const shown = rows.map((row) =>
      row.map((value, i) => {
        if (typeof value !== "number") return value;
        return columns[i] === "mean PoZ"
          ? `${(100 * value).toFixed(1)} %`
          : value.toLocaleString("en");
      }),
    );
    return table("Nodes of every layer of SqueezeNet, by kind", columns, shown);
  }

  function table(caption, columns, rows) {
    const head = columns.map((name) => make("th", { scope: "col" }, name));
    const body = rows.map(([first, ...rest]) => {
      const cells = rest.map((value) => make("td", {}, value));
      return make("tr", {}, make("th", { scope: "row" }, first), ...cells);
    });
    const made = make(
      "table",
      { class: "table" },
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...head)),
      make("tbody", {}, ...body),
    );
    const scrolls = { role: "region", tabindex: 0, "aria-label": caption };
    return make("div", { class: "own-table", ...scrolls }, made);
  }

  async function drawn({ name, title, caption, alt, width, kind }, contents, link) {
    const image = make("img", { class: kind, alt, width });
    image.src = await asData(contents[`${name}.png`]); // the policy allows data:
    const links = make("span", { class: "own-links" });
    links.append(link(`${name}.csv`, "CSV"), " ", link(`${name}.png`, "PNG"));
    links.firstChild.setAttribute("aria-label", `${title} as CSV`);
    links.lastChild.setAttribute("aria-label", `${title} as PNG`);
    return make(
      "figure",
      { id: `own-${name}` },
      make("h3", {}, title),
      image,
      make("figcaption", {}, `${caption} `, links),
    );
  }

  function asData(content) {
    return new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(new Blob([content], { type: "image/png" }));
    });
  }

  // -------------------------------------------------------------------------- small
  function say(text) {
    state.textContent = text;
  }

  function setBusy(value) {
    busy = value;
    root.dataset.state = value ? "busy" : "idle";
    root.setAttribute("aria-busy", value);
    stop.disabled = !value;
    compute.disabled = example.disabled = value;
  }

  function tick(text) {
    clearInterval(clock);
    const show = () => (progress.textContent = text ? text() : "");
    show();
    if (text) clock = setInterval(show, 250);
  }

  function seconds(began) {
    return ((performance.now() - began) / 1000).toFixed(1);
  }
});
