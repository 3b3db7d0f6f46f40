// When to draw: at most twice a second, never while the tab is hidden, once at once when it is shown again.

const EVERY_MS = 500;

// painter(draw) -> {ask, stop}. ask() says that something has changed; draw() is called soon after, once for many.
export function painter(draw, everyMs = EVERY_MS) {
  let timer = null;
  let wanted = false;
  let drawnAt = -Infinity;

  function soon() {
    if (timer !== null || document.hidden) return;
    const wait = Math.max(0, drawnAt + everyMs - performance.now());
    timer = setTimeout(() => requestAnimationFrame(now), wait);
  }

  function now() {
    timer = null;
    if (!wanted) return;
    wanted = false;
    drawnAt = performance.now();
    draw();
  }

  const shown = () => wanted && soon();
  document.addEventListener("visibilitychange", shown);
  return {
    ask() {
      wanted = true;
      soon();
    },
    stop() {
      wanted = false;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    },
  };
}
