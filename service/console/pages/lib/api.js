// Requests to the service that served this page: JSON in and out, problems as errors, the key of this tab.

const BASE = new URL("../api/", import.meta.url); // .../console/api/
const KEPT = "winnow-key";

// What the service refused, as RFC 9457 says it. status 0: it could not be reached.
export class ApiProblem extends Error {
  constructor(status, title, detail, retryAfterS = null) {
    super(detail || title);
    this.name = "ApiProblem";
    Object.assign(this, { status, title, detail: detail ?? "", retryAfterS });
  }
}

// askKey(problem) -> Promise<key | null>: shows the dialog. One dialog answers all requests that wait for a key.
export function createApi(askKey, storage = globalThis.sessionStorage) {
  let asking = null;

  function headers() {
    const key = storage.getItem(KEPT);
    return key ? { authorization: `Bearer ${key}` } : {};
  }

  async function another(problem) {
    asking ??= askKey(problem).finally(() => (asking = null));
    const key = await asking;
    if (key) storage.setItem(KEPT, key);
    return Boolean(key);
  }

  // A 403 to one who sent no key is about the address, not about a key: no dialog helps.
  const wantsKey = (status) => status === 401 || (status === 403 && storage.getItem(KEPT) !== null);

  // fetch() with the key; asks for one where the service wants it. Throws ApiProblem.
  async function ask(path, { params, ...options } = {}) {
    const url = address(path, params);
    for (;;) {
      const sent = storage.getItem(KEPT);
      const response = await reach(url, { ...options, headers: { ...options.headers, ...headers() } });
      if (response.ok) return response;
      const problem = await read(response);
      const changed = sent !== storage.getItem(KEPT); // another request has asked meanwhile
      if (!wantsKey(response.status) || !(changed || (await another(problem)))) throw problem;
    }
  }

  const accept = { accept: "application/json" };
  return {
    ask,
    get: async (path, params, options = {}) => (await ask(path, { ...options, params, headers: accept })).json(),
    post: async (path, body, params) => {
      const sent = { method: "POST", params, body: JSON.stringify(body ?? {}) };
      return (await ask(path, { ...sent, headers: { ...accept, "content-type": "application/json" } })).json();
    },
    download: async (path, params) => save(await ask(path, { params }), path),
    hasKey: () => storage.getItem(KEPT) !== null,
    forgetKey: () => storage.removeItem(KEPT),
  };
}

// The URL of a path: "labels" and "/console/api/labels" name the same. Params that are empty are left out.
function address(path, params = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(params ?? {})) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

async function reach(url, options) {
  try {
    return await fetch(url, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiProblem(0, "The service does not answer", `${url.origin} cannot be reached: ${error.message}`);
  }
}

async function read(response) {
  const told = await response.json().catch(() => ({}));
  const fields = (told.errors ?? []).map((each) => `${each.field}: ${each.problem}`);
  const detail = [told.detail, ...fields].filter(Boolean).join("; ");
  const wait = Number(response.headers.get("retry-after"));
  return new ApiProblem(
    response.status,
    told.title ?? response.statusText ?? "Refused",
    detail,
    wait > 0 ? wait : null,
  );
}

// Hands the body to the browser as a file, named as the service names it.
async function save(response, path) {
  const named = /filename="?([^";]+)/.exec(response.headers.get("content-disposition") ?? "");
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = named ? named[1] : path.split("/").pop();
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
