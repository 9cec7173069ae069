// What pages do beyond HTML and htmx: menus, the one dialog, toasts, copying, tag fields.
// Everything is found by data attributes and works again in what htmx swaps in.

const announce = (text) => {
  const place = document.getElementById("announcer");
  place.textContent = "";
  window.setTimeout(() => { place.textContent = text; }, 50);
};

// Menus: <button data-menu="id" aria-expanded> opens the list with that id.
const menuOf = (button) => document.getElementById(button.dataset.menu);
const openMenu = () => document.querySelector("[data-menu][aria-expanded=true]");
const entriesOf = (list) => [...list.querySelectorAll("[role^=menuitem]")];

function toggleMenu(button, open) {
  const before = openMenu();
  if (before && before !== button) toggleMenu(before, false);
  const list = menuOf(button);
  button.setAttribute("aria-expanded", String(open));
  list.classList.toggle("open", open);
  if (!open) return;
  list.style.removeProperty("max-height");
  const below = window.innerHeight - button.getBoundingClientRect().bottom;
  list.classList.toggle("menu-up", below < list.offsetHeight && button.getBoundingClientRect().top > below);
  placeMenu(button);
  entriesOf(list)[0]?.focus();
}

// In a table that scrolls, a menu would be cut off: it floats above and follows its button.
function placeMenu(button) {
  const list = menuOf(button);
  if (!button.closest(".table-wrap")) return;
  const { top, bottom, right } = button.getBoundingClientRect();
  const up = list.classList.contains("menu-up");
  Object.assign(list.style, {
    position: "fixed", right: "auto", bottom: "auto",
    left: `${Math.max(8, right - list.offsetWidth)}px`,
    top: `${up ? top - list.offsetHeight - 4 : bottom + 4}px`,
  });
}
for (const change of ["scroll", "resize"]) {
  window.addEventListener(change, () => { const open = openMenu(); if (open) placeMenu(open); }, { capture: true, passive: true });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-menu]");
  const open = openMenu();
  if (button) toggleMenu(button, button.getAttribute("aria-expanded") !== "true");
  else if (open && (!menuOf(open).contains(event.target) || event.target.closest("a, button"))) toggleMenu(open, false);
});

document.addEventListener("keydown", (event) => {
  const button = openMenu();
  if (!button) {
    const closed = event.target.closest?.("[data-menu]");
    if (closed && event.key === "ArrowDown") { event.preventDefault(); toggleMenu(closed, true); }
    return;
  }
  const entries = entriesOf(menuOf(button));
  const at = entries.indexOf(document.activeElement);
  const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 };
  if (event.key === "Escape") { toggleMenu(button, false); button.focus(); }
  else if (event.key === "Tab") toggleMenu(button, false);
  else if (event.key in steps) {
    event.preventDefault();
    entries[(steps[event.key] + entries.length) % entries.length]?.focus();
  }
});

// The one dialog: htmx puts a page's content into #dialog-body. Its forms live here, not in the
// row that opened it, so a row that changes or goes away loses nothing that was decided.
const dialog = document.getElementById("dialog");
let opener = null;

// Requests that a page makes by itself are no use of the session; see accounts/sessions.py.
document.body.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.elt.hasAttribute("data-poll")) event.detail.headers["X-Poll"] = "1";
});
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.target?.id === "dialog-body" && !dialog.open) {
    const link = event.detail.elt;
    const list = link.closest(".menu-list");
    opener = list ? document.querySelector(`[data-menu="${list.id}"]`) : link;
  }
});
document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "dialog-body") return;
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("[autofocus]")?.focus();
});
dialog.addEventListener("click", (event) => {
  const close = event.target.closest("[data-close]");
  if (close) event.preventDefault();
  if (close || event.target === dialog) dialog.close();
});
dialog.addEventListener("close", () => {
  document.getElementById("dialog-body").replaceChildren();
  const again = opener?.isConnected ? opener : opener?.id && document.getElementById(opener.id);
  (again || document.getElementById("content")).focus();
});

// Toasts: they stay while looked at; errors stay until they are dismissed.
function toast(text, level = "info") {
  // A poll that fails every two seconds says so once.
  if ([...document.querySelectorAll(".toast-note > span")].some((one) => one.textContent === text)) return;
  const note = document.createElement("div");
  note.className = `toast-note toast-${level}`;
  note.setAttribute("role", level === "error" ? "alert" : "status");
  const words = document.createElement("span");
  words.textContent = text;
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "btn btn-sm", textContent: "Dismiss" });
  button.dataset.dismiss = "";
  note.append(words, button);
  document.getElementById("toasts").append(note);
  keep(note);
}
function keep(note) {
  if (note.classList.contains("toast-error")) return;
  let timer = 0;
  const start = () => { timer = window.setTimeout(() => note.remove(), 8000); };
  const stop = () => window.clearTimeout(timer);
  note.addEventListener("mouseenter", stop);
  note.addEventListener("mouseleave", start);
  note.addEventListener("focusin", stop);
  note.addEventListener("focusout", start);
  start();
}
document.querySelectorAll(".toast-note").forEach(keep);
document.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.closest(".toast-note").remove());
document.body.addEventListener("htmx:responseError", (event) => {
  const { status, responseText } = event.detail.xhr;
  if (status === 401) toast("Your session has ended. Sign in again in another tab; your input here is kept.", "error");
  else toast(status < 500 && responseText.length < 300 && !responseText.includes("<") ? responseText : `The server answered ${status}. Load the page again.`, "error");
});
document.body.addEventListener("htmx:sendError", () => toast("The server cannot be reached. Try again.", "error"));

// Copy buttons.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https there is no clipboard; selecting is what is left.
    window.getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    announce("Selected. Press Control C to copy.");
    return;
  }
  const words = button.querySelector("span");
  const before = words.textContent;
  words.textContent = "Copied";
  announce("Copied");
  window.setTimeout(() => { words.textContent = before; }, 2000);
});

// Forms: sent once; a guarded one asks before it is left with changes.
let dirty = false;
document.addEventListener("input", (event) => { if (event.target.closest("form[data-guard]")) dirty = true; });
window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });
document.addEventListener("submit", (event) => {
  dirty = false;
  if (event.target.dataset.sent) { event.preventDefault(); return; }
  if (event.target.method === "post") {
    event.target.dataset.sent = "yes";
    window.setTimeout(() => { delete event.target.dataset.sent; }, 5000);
  }
});

// Tag fields: Tab, Enter, a comma and pasted lists confirm. Text is split where one spec ends and
// the next begins: at lines and semicolons; at commas and blanks only between names.
const MANY = 2000;
// A comma inside a spec stands before a version, or between brackets: the next one closes. Read
// backwards in one pass, because people paste lists of 100,000 names in one line.
function atCommas(line) {
  const parts = [];
  let [end, inside] = [line.length, false];
  const before = /\s*[<>=!~*\d]/y;
  const version = (at) => { before.lastIndex = at; return before.test(line); };
  for (const { 0: mark, index } of [...line.matchAll(/[[\],]/g)].reverse()) {
    if (mark !== ",") inside = mark === "]";
    else if (!inside && !version(index + 1)) { parts.push(line.slice(index + 1, end)); end = index; }
  }
  return [...parts, line.slice(0, end)].reverse();
}
export function split(text) {
  const parts = text.split(/[\n\r;]+/).flatMap(atCommas);
  return parts.flatMap((part) => {
    const words = part.trim().split(/\s+/);
    return words.every((word) => /^[A-Za-z_][\w.*-]*$/.test(word)) ? words : [part.trim()];
  }).filter(Boolean);
}
// The list of suggestions must not have the field's own name: the name stands for one thing.
function nameSuggestions({ dropdown_content: list }) {
  list.removeAttribute("aria-labelledby");
  list.setAttribute("aria-label", "Suggestions");
}
function tagField(area) {
  if (area.tomselect || split(area.value).length > MANY) return;
  const label = area.labels[0]?.textContent.trim();
  area.value = area.value.split("\n").map((line) => line.trim()).filter(Boolean).join("\n");
  const tags = new window.TomSelect(area, {
    create: true, createOnBlur: true, delimiter: "\n", splitOn: null, persist: false, maxOptions: 30,
    plugins: { remove_button: { title: "Remove" } },
    onItemAdd: (value) => announce(`${value} added`),
    onItemRemove: (value) => { announce(`${value} removed`); dirty ||= Boolean(area.closest("[data-guard]")); },
    render: { no_results: null, option_create: null },
  });
  area.setAttribute("aria-hidden", "true");
  if (label) tags.control_input.setAttribute("aria-label", label);
  nameSuggestions(tags);
  if (area.getAttribute("aria-describedby")) tags.control_input.setAttribute("aria-describedby", area.getAttribute("aria-describedby"));
  const add = (text) => {
    const found = split(text);
    if (found.length + tags.items.length > MANY) {
      const all = [...tags.items, ...found];
      tags.destroy();
      area.removeAttribute("aria-hidden");
      area.value = [...new Set(all)].join("\n");
      area.rows = 12;
      announce(`${found.length} entries; this field is now a list with one entry per line.`);
      return;
    }
    // All at once: one by one, each of a thousand would draw the field anew.
    tags.addOptions(found.map((one) => ({ value: one, text: one })), true);
    tags.addItems(found);
    if (found.length > 1) announce(`${found.length} entries added`);
    tags.setTextboxValue("");
    tags.close();
  };
  area.addText = add;
  tags.hook("instead", "onKeyDown", (event) => {
    const typed = tags.inputValue();
    const ends = (event.key === "Tab" && !event.shiftKey) || event.key === "Enter" || (event.key === "," && !/[<>=!~[]/.test(typed));
    if (ends && typed.trim()) { event.preventDefault(); add(typed); return; }
    if (event.key === "Enter") { event.preventDefault(); return; }
    Object.getPrototypeOf(tags).onKeyDown.call(tags, event);
  });
  tags.control_input.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text");
    if (split(text).length < 2) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    add(text);
  }, true);
}
function choiceField(select) {
  if (select.tomselect) return;
  const label = select.labels[0]?.textContent.trim();
  const choice = new window.TomSelect(select, { plugins: { remove_button: { title: "Remove" } }, closeAfterSelect: true, maxOptions: null });
  select.setAttribute("aria-hidden", "true");
  if (label) choice.control_input.setAttribute("aria-label", label);
  nameSuggestions(choice);
}

function localTimes(root) {
  root.querySelectorAll("time[title]:not([data-local])").forEach((time) => {
    time.dataset.local = "";
    time.title += ` · ${new Date(time.dateTime).toLocaleString()} here`;
  });
}

function enhance(root) {
  root.querySelectorAll("textarea[data-tags]").forEach(tagField);
  root.querySelectorAll("select[data-choices]").forEach(choiceField);
  localTimes(root);
}
enhance(document);
for (const here of document.querySelectorAll(".topbar-nav [aria-current], .tab[aria-current]")) here.scrollIntoView({ inline: "center", block: "nearest" });
document.querySelector("[data-focus]")?.focus();
document.body.addEventListener("htmx:load", (event) => enhance(event.detail.elt));

// Lists and runs that are polled: what the reader has opened, ticked or scrolled stays, a hidden
// page does not ask, and a state is said once, when it changes.
const KEPT = { "aria-expanded": "[data-menu]", class: ".menu-list", style: ".menu-list", open: "details", checked: "[data-keep]" };
window.Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(KEPT[name] && node.matches?.(KEPT[name]));
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.hasAttribute("data-poll")) event.preventDefault();
});
const followed = () => document.querySelectorAll("[data-follow]");
const toEnd = (log) => { log.scrollTop = log.scrollHeight; };
document.body.addEventListener("htmx:beforeSwap", () => followed().forEach((log) => {
  log.atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
}));
const said = new Map();
function tellStates() {
  document.querySelectorAll("[data-announce]").forEach(({ id, dataset }) => {
    if (said.has(id) && said.get(id) !== dataset.announce) announce(dataset.announce);
    said.set(id, dataset.announce);
  });
}
document.body.addEventListener("htmx:afterSettle", () => {
  tellStates();
  followed().forEach((log) => { if (log.atEnd ?? true) toEnd(log); });
  const open = openMenu();
  if (open) placeMenu(open);
  if (open && document.activeElement === document.body) entriesOf(menuOf(open))[0]?.focus();
});
tellStates();
followed().forEach(toEnd);
document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-tick-all]");
  if (all) document.querySelectorAll(`input[data-keep][form=${all.dataset.tickAll}]`).forEach((box) => { box.checked = all.checked; });
});
