// Runs before the first paint, so that no page flashes in the other theme.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const preference = root.dataset.theme;
    root.dataset.bsTheme = preference === "system" ? (dark.matches ? "dark" : "light") : preference;
  };
  root.classList.remove("no-js");
  root.classList.add("js");
  apply();
  dark.addEventListener("change", apply);
})();
