// Light or dark before the first paint: what was chosen here, or what the system says. A classic script in the head.
(() => {
  const kept = localStorage.getItem("winnow-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
