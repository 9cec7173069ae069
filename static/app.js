// What pages do beyond HTML and htmx: menus, the one dialog, toasts, copying, tag fields.
// Behaviour is bound by data attributes, also in what htmx swaps in.

const announce = (text) => {
  const region = document.getElementById("announcer");
  // Screen readers speak a live region only when it changes: the same text twice needs a gap.
  region.textContent = "";
  window.setTimeout(() => { region.textContent = text; }, 50);
};

// Menus: <button data-menu="id" aria-expanded> opens the list with that id.
const menuOf = (button) => document.getElementById(button.dataset.menu);
const openMenu = () => document.querySelector("[data-menu][aria-expanded=true]");
const menuItems = (list) => [...list.querySelectorAll("[role^=menuitem]")];

function toggleMenu(button, open) {
  const previous = openMenu();
  if (previous && previous !== button) toggleMenu(previous, false);
  const list = menuOf(button);
  button.setAttribute("aria-expanded", String(open));
  list.classList.toggle("open", open);
  if (!open) return;
  list.style.removeProperty("max-height");
  const below = window.innerHeight - button.getBoundingClientRect().bottom;
  list.classList.toggle("menu-up", below < list.offsetHeight && button.getBoundingClientRect().top > below);
  placeMenu(button);
  menuItems(list)[0]?.focus();
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
for (const type of ["scroll", "resize"]) {
  window.addEventListener(type, () => { const open = openMenu(); if (open) placeMenu(open); }, { capture: true, passive: true });
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
  const items = menuItems(menuOf(button));
  const current = items.indexOf(document.activeElement);
  const targets = { ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: items.length - 1 };
  if (event.key === "Escape") { toggleMenu(button, false); button.focus(); }
  else if (event.key === "Tab") toggleMenu(button, false);
  else if (event.key in targets) {
    event.preventDefault();
    items[(targets[event.key] + items.length) % items.length]?.focus();
  }
});

// The one dialog: htmx puts a page's content into #dialog-body. Its forms are in the dialog, not in
// the row that opened it, so a poll that replaces or removes the row does not lose an answer.
const dialog = document.getElementById("dialog");
let opener = null;

// Polls do not extend the session: see accounts/sessions.py.
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
  // A poll may have replaced the opener meanwhile: its successor has the same id.
  const target = opener?.isConnected ? opener : opener?.id && document.getElementById(opener.id);
  (target || document.getElementById("content")).focus();
});

// Toasts go after 8 s, but not while they have the pointer or the focus; errors are dismissed by hand.
function toast(text, level = "info") {
  // A poll that fails every two seconds says so once.
  const shown = [...document.querySelectorAll(".toast-message > span")];
  if (shown.some((message) => message.textContent === text)) return;
  const note = document.createElement("div");
  note.className = `toast-message toast-${level}`;
  note.setAttribute("role", level === "error" ? "alert" : "status");
  const message = document.createElement("span");
  message.textContent = text;
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "btn btn-sm", textContent: "Dismiss" });
  button.dataset.dismiss = "";
  note.append(message, button);
  document.getElementById("toasts").append(note);
  dismissAfterDelay(note);
}
function dismissAfterDelay(note) {
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
document.querySelectorAll(".toast-message").forEach(dismissAfterDelay);
document.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.closest(".toast-message").remove());
document.body.addEventListener("htmx:responseError", (event) => {
  const { status, responseText } = event.detail.xhr;
  if (status === 401) toast("Your session has ended. Sign in again in another tab; what you typed stays here.", "error");
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
    // Browsers offer the clipboard only over https: over http, select the text instead.
    window.getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    announce("Selected. Press Control C to copy.");
    return;
  }
  const label = button.querySelector("span");
  const original = label.textContent;
  label.textContent = "Copied";
  announce("Copied");
  window.setTimeout(() => { label.textContent = original; }, 2000);
});

// Forms are sent once; those with data-confirm-leave ask before they are left with changes.
let dirty = false;
document.addEventListener("input", (event) => { if (event.target.closest("form[data-confirm-leave]")) dirty = true; });
window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });
document.addEventListener("submit", (event) => {
  dirty = false;
  if (event.target.dataset.sent) { event.preventDefault(); return; }
  if (event.target.method === "post") {
    event.target.dataset.sent = "yes";
    // A request that fails leaves the page in place: the form can be sent again.
    window.setTimeout(() => { delete event.target.dataset.sent; }, 5000);
  }
});

// Tag fields: Tab, Enter, a comma and pasted lists confirm. Text is split where one spec ends and
// the next begins: at lines and semicolons; at commas and blanks only between names.
// Tom Select draws an element per tag: beyond this many, typing lags, so the field becomes a plain list.
const MAX_TAGS = 2000;
// A comma inside a spec stands before a version, or between brackets: the next one closes. Read
// backwards in one pass, because people paste lists of 100,000 names in one line.
function atCommas(line) {
  const parts = [];
  let [end, inside] = [line.length, false];
  const version = /\s*[<>=!~*\d]/y;
  const versionFollows = (at) => { version.lastIndex = at; return version.test(line); };
  for (const { 0: mark, index } of [...line.matchAll(/[[\],]/g)].reverse()) {
    if (mark !== ",") inside = mark === "]";
    else if (!inside && !versionFollows(index + 1)) { parts.push(line.slice(index + 1, end)); end = index; }
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
// Tom Select names its list of suggestions as the field: two elements of one name confuse readers.
function nameSuggestions({ dropdown_content: list }) {
  list.removeAttribute("aria-labelledby");
  list.setAttribute("aria-label", "Suggestions");
}
function tagField(area) {
  if (area.tomselect || split(area.value).length > MAX_TAGS) return;
  const label = area.labels[0]?.textContent.trim();
  area.value = area.value.split("\n").map((line) => line.trim()).filter(Boolean).join("\n");
  const tags = new window.TomSelect(area, {
    create: true, createOnBlur: true, delimiter: "\n", splitOn: null, persist: false, maxOptions: 30,
    plugins: { remove_button: { title: "Remove" } },
    onItemAdd: (value) => announce(`${value} added`),
    onItemRemove: (value) => { announce(`${value} removed`); dirty ||= Boolean(area.closest("[data-confirm-leave]")); },
    render: { no_results: null, option_create: null },
  });
  area.setAttribute("aria-hidden", "true");
  if (label) tags.control_input.setAttribute("aria-label", label);
  nameSuggestions(tags);
  if (area.getAttribute("aria-describedby")) tags.control_input.setAttribute("aria-describedby", area.getAttribute("aria-describedby"));
  const add = (text) => {
    const entries = split(text);
    if (entries.length + tags.items.length > MAX_TAGS) {
      const all = [...tags.items, ...entries];
      tags.destroy();
      area.removeAttribute("aria-hidden");
      area.value = [...new Set(all)].join("\n");
      area.rows = 12;
      announce(`${entries.length} entries; this field is now a list with one entry per line.`);
      return;
    }
    // All at once: Tom Select redraws the field for each item that is added alone.
    tags.addOptions(entries.map((entry) => ({ value: entry, text: entry })), true);
    tags.addItems(entries);
    if (entries.length > 1) announce(`${entries.length} entries added`);
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
    time.title += ` · ${new Date(time.dateTime).toLocaleString()} local time`;
  });
}

function enhance(root) {
  root.querySelectorAll("textarea[data-tags]").forEach(tagField);
  root.querySelectorAll("select[data-choices]").forEach(choiceField);
  localTimes(root);
}
enhance(document);
for (const current of document.querySelectorAll(".topbar-nav [aria-current], .tab[aria-current]")) current.scrollIntoView({ inline: "center", block: "nearest" });
document.querySelector("[data-focus]")?.focus();
document.body.addEventListener("htmx:load", (event) => enhance(event.detail.elt));

// Lists and runs that are polled: what the user has opened, selected or scrolled stays, a hidden
// page does not poll, and a state is announced once, when it changes.
const PRESERVED = { "aria-expanded": "[data-menu]", class: ".menu-list", style: ".menu-list", open: "details", checked: "[data-preserve]" };
window.Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(PRESERVED[name] && node.matches?.(PRESERVED[name]));
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.hasAttribute("data-poll")) event.preventDefault();
});
const autoscrolled = () => document.querySelectorAll("[data-autoscroll]");
const scrollToEnd = (log) => { log.scrollTop = log.scrollHeight; };
document.body.addEventListener("htmx:beforeSwap", () => autoscrolled().forEach((log) => {
  // Only a log that stands at its end follows: who has scrolled up reads.
  log.atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
}));
const announced = new Map();
function announceStates() {
  document.querySelectorAll("[data-announce]").forEach(({ id, dataset }) => {
    if (announced.has(id) && announced.get(id) !== dataset.announce) announce(dataset.announce);
    announced.set(id, dataset.announce);
  });
}
document.body.addEventListener("htmx:afterSettle", () => {
  announceStates();
  autoscrolled().forEach((log) => { if (log.atEnd ?? true) scrollToEnd(log); });
  const open = openMenu();
  if (open) placeMenu(open);
  if (open && document.activeElement === document.body) menuItems(menuOf(open))[0]?.focus();
});
announceStates();
autoscrolled().forEach(scrollToEnd);
document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-select-all]");
  if (all) document.querySelectorAll(`input[data-preserve][form=${all.dataset.selectAll}]`).forEach((box) => { box.checked = all.checked; });
});
