// The mirror form: what a type does not have, the platforms' warning, the only-packages, the
// frequency, addresses to fill in, and entries that cannot be read. Without it everything shows.
const form = document.getElementById("mirror-form");
const field = (name) => form.elements.namedItem(name);
const put = (id, text) => {
  const place = document.getElementById(id);
  if (place.textContent !== text) place.textContent = text;
};

function showType() {
  const kind = field("mirror_type").value;
  form.querySelectorAll(".conda-only").forEach((part) => { part.hidden = kind !== "conda"; });
  form.querySelectorAll("[data-kind]").forEach((part) => { part.hidden = part.dataset.kind !== kind; });
}

function showPlatforms() {
  const ticked = [...form.querySelectorAll("input[name=subdirs]:checked")].map((box) => box.value);
  let text = "";
  if (!ticked.length) text = "No platform is selected: all platforms are mirrored.";
  else if (!ticked.includes("noarch")) text = "Without noarch, many packages of these platforms cannot be installed: they depend on noarch packages.";
  else if (ticked.length === 1) text = "Only noarch is selected: programs that are built for a platform, such as python itself, are not included.";
  put("platforms-note", text);
}

function showOnly() {
  document.getElementById("only-names").hidden = !field("only").checked;
}

function showFrequency() {
  document.getElementById("custom-cron").hidden = field("frequency").value !== "custom";
}

function toggle(button) {
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  document.getElementById(button.getAttribute("aria-controls")).hidden = !open;
}

// Entries that cannot be read are marked where they stand, and told below the field.
function markWrong() {
  form.querySelectorAll("textarea[data-tags]").forEach((area) => {
    const wrong = new Set([...document.querySelectorAll(`#${area.name}-check [data-wrong]`)].map((one) => one.dataset.wrong));
    for (const value of area.tomselect?.items ?? []) {
      area.tomselect.getItem(value)?.classList.toggle("tag-wrong", wrong.has(value));
    }
  });
}

function tools(area) {
  const row = document.createElement("div");
  row.className = "tag-tools";
  const label = area.closest(".field").querySelector("label");
  label.id ||= `${area.id}-label`;
  const button = (words, act) => {
    const one = document.createElement("button");
    Object.assign(one, { type: "button", className: "btn btn-sm btn-ghost", textContent: words });
    one.setAttribute("aria-describedby", label.id);
    one.addEventListener("click", act);
    row.append(one);
  };
  const entries = () => (area.tomselect ? [...area.tomselect.items] : area.value.split("\n"));
  button("Copy all", () => navigator.clipboard?.writeText(entries().join("\n")));
  button("Clear all", () => {
    if (area.tomselect) area.tomselect.clear();
    else area.value = "";
    look();
  });
  const file = document.createElement("input");
  Object.assign(file, { type: "file", accept: ".txt,.csv,text/plain", hidden: true });
  file.addEventListener("change", async () => {
    const text = await file.files[0].text();
    if (area.tomselect) area.addText(text);
    else area.value = [area.value, text].filter(Boolean).join("\n");
    look();
  });
  row.append(file);
  button("Import from a file", () => file.click());
  (area.parentElement.querySelector(".ts-wrapper") ?? area).after(row);
}

const refresh = () => { showType(); showPlatforms(); showOnly(); showFrequency(); };
form.addEventListener("change", refresh);
// Lists of tens of thousands are looked at when the form is submitted, not at every key.
const LARGE = 200_000;
const look = () => {
  const large = [...form.querySelectorAll("textarea")].some((area) => area.value.length > LARGE);
  if (!large) form.dispatchEvent(new Event("look"));
};
for (const name of ["input", "change"]) {
  form.addEventListener(name, (event) => { if (event.target.id !== "source-examples") look(); });
}
form.querySelectorAll("[data-toggle-region]").forEach((button) => {
  toggle(button);
  button.addEventListener("click", () => toggle(button));
});
document.getElementById("source-examples").addEventListener("change", (event) => {
  if (!event.target.value) return;
  field("source_root").value = event.target.value;
  const { type } = event.target.selectedOptions[0].dataset;
  if (type) field("mirror_type").value = type;
  refresh();
  event.target.value = "";
  field("source_root").focus();
});
// The address that was meant; a login that is shown as *** stays as it was typed.
form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-source-root]");
  if (!button) return;
  const source = field("source_root");
  const [, login] = source.value.match(/^[a-z]+:\/\/([^/@]*)@/i) ?? [];
  const [, token] = source.value.match(/\/t\/([^/]+)/) ?? [];
  let meant = button.dataset.sourceRoot;
  if (login) meant = meant.replace("://***@", () => `://${login}@`);
  if (token) meant = meant.replace("/t/***", () => `/t/${token}`);
  source.value = meant;
  source.focus();
  look();
});
document.body.addEventListener("htmx:oobAfterSwap", markWrong);
// A link of the summary goes to the box that one types into.
form.addEventListener("click", (event) => {
  const area = event.target.closest(".alert a[href^='#']") && document.querySelector(event.target.getAttribute("href"));
  if (!area?.tomselect) return;
  event.preventDefault();
  area.tomselect.focus();
});
form.querySelectorAll("textarea[data-tags]").forEach(tools);
refresh();
