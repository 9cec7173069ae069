// The mirror form: hides what the type does not have, the include list and the cron field while they
// are not used; fills in common sources; marks specs that cannot be read. Without it, all fields show.
const form = document.getElementById("mirror-form");
const field = (name) => form.elements.namedItem(name);
const setText = (id, text) => {
  const region = document.getElementById(id);
  // Setting the same text again would make screen readers repeat a live region.
  if (region.textContent !== text) region.textContent = text;
};

function showType() {
  const kind = field("mirror_type").value;
  form.querySelectorAll(".conda-only").forEach((part) => { part.hidden = kind !== "conda"; });
  form.querySelectorAll(".python-only").forEach((part) => { part.hidden = kind !== "python_simple"; });
  form.querySelectorAll("[data-kind]").forEach((part) => { part.hidden = part.dataset.kind !== kind; });
}

function showPlatforms() {
  const selected = [...form.querySelectorAll("input[name=subdirs]:checked")].map((box) => box.value);
  let text = "";
  if (!selected.length) text = "No platform is selected: all platforms are mirrored.";
  else if (!selected.includes("noarch")) text = "Without noarch, many packages of these platforms cannot be installed: they depend on noarch packages.";
  else if (selected.length === 1) text = "Only noarch is selected: programs that are built for a platform, such as python itself, are not included.";
  setText("platforms-note", text);
}

function showOnly() {
  document.getElementById("only-names").hidden = !field("only").checked;
}

function showFrequency() {
  document.getElementById("custom-cron").hidden = field("frequency").value !== "custom";
}

function toggleRegion(button) {
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  document.getElementById(button.getAttribute("aria-controls")).hidden = !open;
}

// Specs that cannot be read are marked in the field; the sentences are below it.
function markInvalidTags() {
  form.querySelectorAll("textarea[data-tags]").forEach((area) => {
    const reported = [...document.querySelectorAll(`#${area.name}-check [data-invalid]`)];
    const invalid = new Set(reported.map((element) => element.dataset.invalid));
    for (const value of area.tomselect?.items ?? []) {
      area.tomselect.getItem(value)?.classList.toggle("tag-invalid", invalid.has(value));
    }
  });
}

function addListTools(area) {
  const row = document.createElement("div");
  row.className = "tag-tools";
  const label = area.closest(".field").querySelector("label");
  label.id ||= `${area.id}-label`;
  const addButton = (text, onClick) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "btn btn-sm btn-ghost", textContent: text });
    button.setAttribute("aria-describedby", label.id);
    button.addEventListener("click", onClick);
    row.append(button);
  };
  const entries = () => (area.tomselect ? [...area.tomselect.items] : area.value.split("\n"));
  addButton("Copy all", () => navigator.clipboard?.writeText(entries().join("\n")));
  addButton("Clear all", () => {
    if (area.tomselect) area.tomselect.clear();
    else area.value = "";
    recheck();
  });
  const file = document.createElement("input");
  Object.assign(file, { type: "file", accept: ".txt,.csv,text/plain", hidden: true });
  file.addEventListener("change", async () => {
    const text = await file.files[0].text();
    if (area.tomselect) area.addText(text);
    else area.value = [area.value, text].filter(Boolean).join("\n");
    recheck();
  });
  row.append(file);
  addButton("Import from a file", () => file.click());
  (area.parentElement.querySelector(".ts-wrapper") ?? area).after(row);
}

const refresh = () => { showType(); showPlatforms(); showOnly(); showFrequency(); };
form.addEventListener("change", refresh);
// Lists of tens of thousands are checked when the form is submitted, not at every key: each check
// sends and parses the whole form.
const MAX_LIVE_CHECK = 200_000;
const recheck = () => {
  const large = [...form.querySelectorAll("textarea")].some((area) => area.value.length > MAX_LIVE_CHECK);
  if (!large) form.dispatchEvent(new Event("recheck"));
};
for (const name of ["input", "change"]) {
  form.addEventListener(name, (event) => { if (event.target.id !== "source-examples") recheck(); });
}
form.querySelectorAll("[data-toggle-region]").forEach((button) => {
  toggleRegion(button);
  button.addEventListener("click", () => toggleRegion(button));
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
// “Use this URL” of a connection test: the server masks credentials as ***, so those that were typed
// are put back.
form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-source-root]");
  if (!button) return;
  const source = field("source_root");
  const [, login] = source.value.match(/^[a-z]+:\/\/([^/@]*)@/i) ?? [];
  const [, token] = source.value.match(/\/t\/([^/]+)/) ?? [];
  let url = button.dataset.sourceRoot;
  if (login) url = url.replace("://***@", () => `://${login}@`);
  if (token) url = url.replace("/t/***", () => `/t/${token}`);
  source.value = url;
  source.focus();
  recheck();
});
document.body.addEventListener("htmx:oobAfterSwap", markInvalidTags);
// Tom Select hides the textarea: a link of the error summary focuses its input instead.
form.addEventListener("click", (event) => {
  const area = event.target.closest(".alert a[href^='#']") && document.querySelector(event.target.getAttribute("href"));
  if (!area?.tomselect) return;
  event.preventDefault();
  area.tomselect.focus();
});
form.querySelectorAll("textarea[data-tags]").forEach(addListTools);
refresh();
