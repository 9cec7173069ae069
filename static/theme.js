// Runs before the first paint, so that no page flashes in the other theme.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const wish = root.dataset.theme;
    root.dataset.bsTheme = wish === "system" ? (dark.matches ? "dark" : "light") : wish;
  };
  root.classList.remove("no-js");
  root.classList.add("js");
  apply();
  dark.addEventListener("change", apply);
})();
