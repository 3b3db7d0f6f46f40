// Colours live in style.css as custom properties; what is drawn on a canvas asks for them here.

// The value of a custom property, "--series-1".
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const listeners = new Set();
const system = matchMedia("(prefers-color-scheme: dark)");
const tell = () => listeners.forEach((fn) => fn());
system.addEventListener("change", tell);

// Calls fn whenever light turns dark or back; returns the way to stop it.
export function onTheme(fn) {
  listeners.add(fn);
  return () => listeners.delete(fn);
}

// Whether the page is dark now.
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}

// Turns to the other one and remembers it on this machine.
export function toggleTheme() {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("winnow-theme", next);
  tell();
}
