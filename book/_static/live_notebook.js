// The reader's run as a notebook (live.js): the page's own notebook with the code and
// the results that the page shows now.
window.liveNotebook = async (cells) => {
  "use strict";
  const link = document.querySelector('.dropdown-download-buttons a[href$=".ipynb"]');
  const answer = await fetch(link.href);
  if (!answer.ok) throw new Error(`The notebook of this page: ${answer.status}`);
  const notebook = await answer.json();
  const code = notebook.cells.filter((cell) => cell.cell_type === "code");
  code.forEach((cell, n) => {
    const { source, results } = cells[n];
    Object.assign(cell, { source, outputs: results.map(asOutput) });
    cell.execution_count = null;
  });
  const name = decodeURI(link.pathname.split("/").pop()).replace(".ipynb", "-my-run");
  const content = JSON.stringify(notebook, null, 1);
  const made = document.createElement("a");
  made.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  made.download = `${name}.ipynb`;
  made.click();
  setTimeout(() => URL.revokeObjectURL(made.href), 60_000);

  function asOutput({ type, data }) {
    if (type === "text") return { output_type: "stream", name: "stdout", text: data };
    if (type === "error") {
      const traceback = data.split("\n");
      const [ename, ...rest] = data.trim().split("\n").pop().split(": ");
      return { output_type: "error", ename, evalue: rest.join(": "), traceback };
    }
    const mime = { html: "text/html", png: "image/png" }[type];
    return { output_type: "display_data", data: { [mime]: data }, metadata: {} };
  }
};
