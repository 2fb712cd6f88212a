// Runs the cells of one page: Python (Pyodide) in a module worker, spoken to by live.js.
//
// In:  {kind: "start", live, version, interrupt}   live: address of the folder live/; interrupt: shared buffer or null
//      {kind: "run", source, name, fresh}          fresh: in an empty namespace
// Out: {kind: "loading", bytes, total} {kind: "ready"} {kind: "failed", message}
//      {kind: "output", type, data, width} {kind: "done", error}
self.onmessage = ({ data }) => (data.kind === "start" ? start(data) : run(data));

const ROOT = "/book"; // helpers looks for data and claims beside the folder that it lies in
const ENVIRONMENT = { MPLBACKEND: "Agg", HOME: `${ROOT}/home`, BOOK_VALUES: `${ROOT}/values` };
let pyodide, python, names;

async function start({ live, version, interrupt }) {
  try {
    const listed = await (await ask(`${live}files.json?v=${version}`)).json();
    countBytes(listed.bytes);
    const { loadPyodide } = await import(`${live}runtime/pyodide.mjs`);
    pyodide = await loadPyodide({ indexURL: `${live}runtime/`, env: ENVIRONMENT });
    await pyodide.loadPackage(listed.packages, { messageCallback: () => {} });
    const helpers = await (await fetch(`${live}helpers.zip?v=${listed.helpers}`)).arrayBuffer();
    pyodide.unpackArchive(helpers, "zip", { extractDir: `${ROOT}/src` });
    for (const file of listed.files) fetchedOnDemand(pyodide.FS, file, `${live}files/${file.path}?v=${file.v}`);
    pyodide.runPython(`import sys; sys.path.insert(0, "${ROOT}/src")`);
    python = pyodide.pyimport("helpers.live");
    python.stand_in_for_ipython(send);
    if (interrupt) pyodide.setInterruptBuffer(interrupt);
    self.postMessage({ kind: "ready" });
  } catch (error) {
    self.postMessage({ kind: "failed", message: String(error?.message ?? error) });
  }
}

function send(type, data, width) {
  self.postMessage({ kind: "output", type, data, width });
}

async function run({ source, name, fresh }) {
  let error = "";
  try {
    await pyodide.loadPackagesFromImports(source, { messageCallback: () => {}, errorCallback: () => {} });
    if (fresh || !names) names = python.namespace(send);
    error = python.run(source, name, names, send);
  } catch (fault) { // of Python itself, such as a full memory: nothing can run in this worker any more
    self.postMessage({ kind: "failed", message: String(fault?.message ?? fault) });
    return;
  }
  self.postMessage({ kind: "done", error });
}

async function ask(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${new URL(url).pathname}: ${answer.status}`);
  return answer;
}

// Tell the page, a few times a second, how much has arrived of all that is fetched.
function countBytes(total) {
  const plain = self.fetch;
  let bytes = 0, told = 0;
  self.fetch = async (...request) => {
    const answer = await plain(...request);
    if (!answer.ok || !answer.body) return answer;
    const counter = new TransformStream({
      transform(chunk, controller) {
        bytes += chunk.byteLength;
        if (performance.now() - told > 200) {
          told = performance.now();
          self.postMessage({ kind: "loading", bytes, total });
        }
        controller.enqueue(chunk);
      },
    });
    return new Response(answer.body.pipeThrough(counter), { status: answer.status, headers: answer.headers });
  };
}

// A file that is there for Python, and fetched when it is first read.
function fetchedOnDemand(FS, { path, size }, url) {
  const at = path.lastIndexOf("/");
  const folder = `${ROOT}/${path.slice(0, at)}`;
  FS.mkdirTree(folder);
  const node = FS.createFile(folder, path.slice(at + 1), {}, true, true);
  const usual = node.stream_ops;
  node.usedBytes = size;
  node.stream_ops = {
    ...usual,
    write(stream, ...rest) { // a cell keeps its own instead
      node.stream_ops = stream.stream_ops = usual;
      return usual.write(stream, ...rest);
    },
    read(stream, ...rest) {
      const request = new XMLHttpRequest();
      request.open("GET", url, false); // a worker may wait
      request.responseType = "arraybuffer";
      request.send();
      if (request.status !== 200) throw new FS.ErrnoError(29); // an OSError in Python: input/output error
      node.contents = new Uint8Array(request.response);
      node.usedBytes = node.contents.length;
      node.stream_ops = stream.stream_ops = usual;
      return usual.read(stream, ...rest);
    },
  };
}
