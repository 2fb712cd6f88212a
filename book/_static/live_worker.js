// Runs the cells of one page: Python (Pyodide) in a module worker, used by live.js.
//
// In:  {kind: "start", live, interrupt, warm, formats}  live: address of the folder;
//                                         interrupt: shared buffer or null;
//                                         warm: modules to import while nothing runs;
//                                         formats: of numbers in the text, by name
//      {kind: "run", source, name, fresh} fresh: in an empty namespace
//      {kind: "put", path, content}       a file for Python, from the reader
//      {kind: "get", path}                a file that Python has written
// Out: {kind: "loading", bytes, total} {kind: "ready"} {kind: "failed", message}
//      {kind: "output", type, data, width} {kind: "done", error}
//      {kind: "file", path, content}
const handlers = { start, run, put, get };
self.onmessage = ({ data }) => handlers[data.kind](data);

const ROOT = "/book"; // helpers looks for data beside the folder that it lies in
const ENVIRONMENT = { MPLBACKEND: "Agg", HOME: `${ROOT}/home` };
let pyodide, runner, names;
const read = []; // the files that Python has read since the last check

async function start({ live, interrupt, warm = [], formats = {} }) {
  try {
    const listed = await (await ask(`${live}files.json`, { cache: "no-cache" })).json();
    checkFetched(live, listed);
    // import() does not go through fetch
    for (const name of ["pyodide.mjs", "pyodide.asm.mjs"])
      await ask(`${live}runtime/${name}`);
    const { loadPyodide } = await import(`${live}runtime/pyodide.mjs`);
    pyodide = await loadPyodide({
      indexURL: `${live}runtime/`,
      env: ENVIRONMENT,
      packages: listed.packages, // fetched while Python starts
    });
    const helpers = await ask(`${live}helpers.zip?v=${listed.sha256["helpers.zip"]}`);
    const extractDir = `${ROOT}/src`;
    pyodide.unpackArchive(await helpers.arrayBuffer(), "zip", { extractDir });
    for (const file of listed.files)
      fetchOnDemand(pyodide.FS, file, `${live}files/${file.path}?v=${file.v}`);
    pyodide.runPython(`import sys; sys.path.insert(0, "${extractDir}")`);
    runner = pyodide.pyimport("live_runner");
    runner.stand_in_for_ipython(send, JSON.stringify(formats));
    if (interrupt) pyodide.setInterruptBuffer(interrupt);
    self.postMessage({ kind: "ready" });
  } catch (error) {
    return fail(error);
  }
  importAhead(warm);
}

// One module at a time, so that a cell need not wait for all of them.
async function importAhead(modules) {
  for (const name of modules) {
    await new Promise((resolve) => setTimeout(resolve));
    if (names) return; // a cell has run: cells import what they need
    runner.import_ahead(name);
  }
}

async function run({ source, name, fresh }) {
  let error = "";
  const quiet = { messageCallback: () => {}, errorCallback: () => {} };
  try {
    await pyodide.loadPackagesFromImports(source, quiet);
    if (fresh || !names) names = runner.namespace(send);
    error = runner.run(source, name, names, send);
    await checkRead();
  } catch (fault) {
    return fail(fault); // a full memory, an altered file: this worker is done
  }
  self.postMessage({ kind: "done", error });
}

// Files of the page own.js; paths are below ROOT.
function put({ path, content }) {
  const at = `${ROOT}/${path}`;
  pyodide.FS.mkdirTree(at.slice(0, at.lastIndexOf("/")));
  pyodide.FS.writeFile(at, new Uint8Array(content));
}

function get({ path }) {
  const content = pyodide.FS.readFile(`${ROOT}/${path}`).buffer;
  self.postMessage({ kind: "file", path, content }, [content]);
}

function send(type, data, width) {
  self.postMessage({ kind: "output", type, data, width });
}

function fail(error) {
  self.postMessage({ kind: "failed", message: String(error?.message ?? error) });
}

async function ask(url, options) {
  const answer = await fetch(url, options);
  if (!answer.ok) throw new Error(`${new URL(url).pathname}: ${answer.status}`);
  return answer;
}

// Compare what is fetched with its sha256, and report, a few times a second, how much
// has arrived. Pyodide goes on without a package that it did not get: so we do not.
function checkFetched(live, { sha256, bytes: total }) {
  const plain = self.fetch;
  let bytes = 0;
  let reported = 0;
  const transform = (chunk, controller) => {
    bytes += chunk.byteLength;
    if (performance.now() - reported > 200) {
      reported = performance.now();
      self.postMessage({ kind: "loading", bytes, total });
    }
    controller.enqueue(chunk);
  };
  const refuse = (name, what) => {
    const error = new Error(`${name} ${what}`);
    fail(error);
    throw error;
  };
  self.fetch = async (request, options) => {
    const name = new URL(request.url ?? request, self.location).href
      .replace(live, "")
      .replace(/\?.*/, "");
    // Pyodide asks for its packages by hash, and fetch fails where that differs
    const answer = await plain(request, options).catch(() => null);
    if (!answer) refuse(name, "is missing or altered");
    if (!answer.ok) refuse(name, `is missing (${answer.status})`);
    const counted = answer.body.pipeThrough(new TransformStream({ transform }));
    const content = await new Response(counted).arrayBuffer();
    if (crypto.subtle && name in sha256 && (await digest(content)) !== sha256[name])
      refuse(name, "is not the file that was built");
    const { status, headers } = answer;
    return new Response(content, { status, headers });
  };
}

// Compare what the last cell read with what was built. Python cannot wait while it reads.
async function checkRead() {
  for (const { path, v, content } of read.splice(0))
    if (crypto.subtle && !(await digest(content)).startsWith(v))
      throw new Error(`${path} is not the file that was built`);
}

// Hexadecimal sha256. Browsers offer it to pages that came over https or from this
// machine; elsewhere the file is taken as it is.
async function digest(content) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A file that Python sees, and that is fetched when it is first read.
function fetchOnDemand(FS, { path, size, v }, url) {
  const at = path.lastIndexOf("/");
  const folder = `${ROOT}/${path.slice(0, at)}`;
  FS.mkdirTree(folder);
  const node = FS.createFile(folder, path.slice(at + 1), {}, true, true);
  const usual = node.stream_ops;
  const restore = (stream) => (node.stream_ops = stream.stream_ops = usual);
  node.usedBytes = size;
  node.stream_ops = {
    ...usual,
    // a cell that writes gets a file of its own
    write: (stream, ...rest) => restore(stream).write(stream, ...rest),
    read(stream, ...rest) {
      const request = new XMLHttpRequest();
      request.open("GET", url, false); // a worker may wait
      request.responseType = "arraybuffer";
      request.send();
      if (request.status !== 200) {
        send("text", `${path} is missing from this copy of the book.\n`, 0);
        throw new FS.ErrnoError(29); // an OSError in Python
      }
      read.push({ path, v, content: request.response });
      node.contents = new Uint8Array(request.response);
      node.usedBytes = node.contents.length;
      return restore(stream).read(stream, ...rest);
    },
  };
}
