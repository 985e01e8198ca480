// The address holds the whole state of the page: #/rollouts/r-0001?gate=failed

export function read() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: (path || "fleet").split("/").map(decodeURIComponent),
    query: Object.fromEntries(new URLSearchParams(query || "")) };
}

export function link(path, query = {}) {
  const kept = Object.entries(query).filter(([, v]) => v !== "" && v !== null && v !== undefined);
  const words = new URLSearchParams(kept).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${words ? `?${words}` : ""}`;
}

export function go(path, query = {}) {
  location.hash = link(path, query).slice(1);
}

// Change parts of the query, the rest stays.
export function set(changes) {
  const at = read();
  go(at.path, { ...at.query, ...changes });
}
