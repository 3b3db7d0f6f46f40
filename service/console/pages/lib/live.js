// What is happening now: one stream of server-sent events for the whole page, kept in four bounded rings.

const KEPT = 900;
const SILENT_MS = 45_000; // the service sends a line at least every 15 s
const RINGS = { tick: "ticks", progress: "progress", direction: "directions", version: "versions" };

// Parses server-sent events out of text that comes in pieces. push(text) -> [{event, data}], comments left out.
export function parser() {
  let rest = "";
  return function push(text) {
    const blocks = (rest + text).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    return blocks.map(one).filter((each) => each.data !== "");
  };
}

function one(block) {
  const told = { event: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) told.event = line.slice(6).trim();
    else if (line.startsWith("data:")) told.data += line.slice(5).trimStart();
  }
  return told;
}

// Adds to a ring and forgets the oldest beyond the bound.
export function keep(ring, entry, most = KEPT) {
  ring.push(entry);
  if (ring.length > most) ring.splice(0, ring.length - most);
}

// createLive(api) -> rings `ticks`, `progress`, `directions`, `versions`; subscribe(kind, fn) -> unsubscribe, where kind
// is hello, tick, progress, direction, version or status; status is connecting, live or lost; `why` says why it is lost.
export function createLive(api) {
  const listeners = new Map();
  const live = { ticks: [], progress: [], directions: [], versions: [], status: "connecting", why: "", heardAt: 0 };
  let stopped = false;
  let reading = null;

  live.subscribe = (kind, fn) => {
    if (!listeners.has(kind)) listeners.set(kind, new Set());
    listeners.get(kind).add(fn);
    return () => listeners.get(kind).delete(fn);
  };
  live.stop = () => {
    stopped = true;
    reading?.abort();
  };
  live.start = () => run();

  const tell = (kind, value) => listeners.get(kind)?.forEach((fn) => fn(value));

  function turn(status, why = "") {
    if (live.status === status && live.why === why) return;
    Object.assign(live, { status, why });
    tell("status", status);
  }

  function take({ event, data }) {
    const value = JSON.parse(data);
    if (event === "hello") {
      for (const ring of Object.values(RINGS)) live[ring].splice(0, Infinity, ...(value[ring] ?? []).slice(-KEPT));
      turn("live");
    } else if (RINGS[event]) keep(live[RINGS[event]], value);
    tell(event, value);
  }

  async function read() {
    reading = new AbortController();
    const silence = setInterval(() => Date.now() - live.heardAt > SILENT_MS && reading.abort(), 5_000);
    try {
      live.heardAt = Date.now();
      const response = await api.ask("live", { signal: reading.signal, headers: { accept: "text/event-stream" } });
      const push = parser();
      const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await text.read(); !part.done; part = await text.read()) {
        live.heardAt = Date.now();
        push(part.value).forEach(take);
      }
    } finally {
      clearInterval(silence);
    }
  }

  // Reads until stopped. Waits 1, 2, 4 ... 30 s between tries, or as long as Retry-After says; a stream that told
  // something starts the count anew.
  async function run() {
    for (let tries = 0; !stopped; tries += 1) {
      let problem = { detail: "the stream ended" };
      try {
        await read();
      } catch (error) {
        problem = error;
      }
      if (stopped) return;
      if (live.status === "live") tries = 0;
      turn("lost", problem.detail || problem.title || problem.message || "the connection broke");
      const wait = problem.retryAfterS ?? Math.min(30, 2 ** tries);
      await new Promise((resolve) => setTimeout(resolve, wait * 1000 * (0.8 + 0.4 * Math.random())));
    }
  }

  return live;
}
