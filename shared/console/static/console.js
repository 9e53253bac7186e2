// The console's pages are rendered on the server. This script keeps them fresh, asks before actions, and handles keys.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const page = document.body.dataset.page;
const token = $('meta[name="drover-token"]').content;

// ---- words -----------------------------------------------------------------------------------------------------------------------------------

let saying;
function say(text) {
  $("#said").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => ($("#said").textContent = ""), 8000);
}

function trouble(text) {
  const banner = $("#trouble");
  banner.hidden = !text;
  if (banner.textContent !== text) banner.textContent = text;
}

// Times are shown in the zone of the browser, with UTC as their title. The server writes UTC.
const two = (n) => String(n).padStart(2, "0");
const dayOf = (at) => [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
const clockOf = (at) => [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
function localTimes(root = document) {
  for (const time of $$("time[datetime]", root)) {
    const at = new Date(time.dateTime);
    if (isNaN(at)) continue;
    time.title = time.dateTime.replace("T", " ").replace(/\.\d+Z$/, " UTC");
    time.textContent = (dayOf(at) === dayOf(new Date()) ? "" : dayOf(at) + " ") + clockOf(at);
  }
}

// ---- a page that stays fresh -----------------------------------------------------------------------------------------------------------------

// morph makes a node like another, and keeps what did not change: focus, selections, open details.
function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || (from.id || "") !== (to.id || "")) {
    from.replaceWith(to.cloneNode(true));
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS")) from.removeAttribute(name);
  for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  if (["INPUT", "SELECT", "TEXTAREA"].includes(from.nodeName)) return; // what was typed stays
  const byID = new Map([...from.children].filter((c) => c.id).map((c) => [c.id, c]));
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const known = wanted.nodeType === Node.ELEMENT_NODE && wanted.id && byID.get(wanted.id);
    if (known && known !== at) from.insertBefore(known, at);
    const here = known || at;
    if (!here) {
      from.appendChild(wanted.cloneNode(true));
      continue;
    }
    at = here.nextSibling;
    morph(here, wanted);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

let refreshing = false;
let again = false;
async function refresh() {
  if (document.hidden) return;
  if (refreshing) {
    again = true;
    return;
  }
  refreshing = true;
  try {
    const response = await fetch(location.href, { headers: { "X-Drover-Refresh": "1" }, redirect: "manual" });
    if (response.type === "opaqueredirect" || !(response.headers.get("Content-Type") || "").startsWith("text/html")) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    if (fresh.body.dataset.page === "trouble" && page !== "trouble") {
      trouble($("#main h1", fresh).textContent + " " + ($("#main .fix", fresh)?.textContent || ""));
      return;
    }
    if (fresh.body.dataset.page !== page) {
      location.reload(); // it can be read again
      return;
    }
    trouble("");
    localTimes(fresh);
    const focused = document.activeElement;
    morph($("#main"), $("#main", fresh));
    if (focused.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true }); // its row was moved
    afterwards();
  } catch {
    show("bad", "console is gone");
  } finally {
    refreshing = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}

// ---- live ------------------------------------------------------------------------------------------------------------------------------------

// Of all visible tabs one holds the stream of events, by a lock, and tells the others. A hidden tab holds none, so that nothing is read for it.
const channel = "BroadcastChannel" in window ? new BroadcastChannel("drover-live") : null;
let stream = null;
let release = null;

function show(state, word) {
  const live = $("#live");
  live.dataset.state = state;
  if ($(".word", live).textContent !== word) $(".word", live).textContent = word;
}

function heard(message) {
  if (document.hidden) return;
  if (message.trouble) {
    show("bad", "no answer");
    if (page !== "trouble") trouble(message.trouble);
    return;
  }
  show("on", "live");
  trouble("");
  // A list changes with what was read. These pages show more than that.
  const more = ["job", "task", "labourer", "run", "replays"].includes(page) || Number($(".trouble > .pill")?.textContent) >= 500;
  if (message.changed || more) refresh();
}

function tell(message) {
  heard(message);
  if (channel) channel.postMessage(message);
}

function hold() {
  stream = new EventSource("/api/live");
  stream.onmessage = () => tell({ changed: true });
  stream.addEventListener("tick", () => tell({ changed: false }));
  stream.addEventListener("trouble", (e) => {
    const said = JSON.parse(e.data);
    tell({ trouble: [said.Reason, said.Fix].filter(Boolean).join(" ") });
  });
  stream.onerror = () => show("bad", "not connected");
}

function listen() {
  if (release || document.hidden || page === "search") return;
  if (!navigator.locks) {
    release = () => {};
    hold();
    return;
  }
  const given = new AbortController();
  let leave;
  const held = new Promise((done) => (leave = done));
  release = () => {
    given.abort();
    leave();
  };
  show("on", "live");
  navigator.locks.request("drover-live", { signal: given.signal }, () => {
    hold();
    return held;
  }).catch(() => {});
}

function rest() {
  if (release) release();
  release = null;
  if (stream) stream.close();
  stream = null;
  show("off", "paused");
}

if (channel) channel.onmessage = (e) => heard(e.data);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    rest();
  } else {
    listen();
    refresh();
  }
});
window.addEventListener("pagehide", rest);
window.addEventListener("pageshow", (e) => {
  if (e.persisted) {
    listen();
    refresh();
  }
});

// ---- actions ---------------------------------------------------------------------------------------------------------------------------------

const selected = () => $$("[data-select]:checked").map((box) => box.value);

function afterwards() {
  const n = selected().length;
  for (const button of $$("[data-needs-selection]")) {
    button.disabled = n === 0;
    button.textContent = n === 0 ? "Replay selected" : `Replay ${n} selected`;
  }
}

// ask shows what an action will do and to how many, and returns whether the user wants it. It asks about one action at a time.
async function ask(button, count) {
  const dialog = $("#ask");
  if (dialog.dataset.asking) return false;
  dialog.dataset.asking = "yes";
  $("#ask-title").textContent = button.dataset.title;
  $("#ask-text").textContent = button.dataset.text;
  $("#ask-yes").textContent = button.dataset.yes;
  $("#ask-yes").classList.toggle("bad", button.classList.contains("bad"));
  $("#ask-yes").disabled = count === 0;
  $("#ask-count").hidden = count === undefined;
  $("#ask-count").textContent = count === undefined ? "" : `${count.toLocaleString()} ${count === 1 ? "task" : "tasks"}`;
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  delete dialog.dataset.asking;
  return dialog.returnValue === "yes";
}

async function answerOf(response) {
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error([answer.error?.field, answer.error?.reason || response.statusText].filter(Boolean).join(": ") + (answer.error?.fix ? " " + answer.error.fix : ""));
  return answer;
}

async function act(button) {
  if (button.disabled) return;
  const d = button.dataset;
  const body = {};
  try {
    let count;
    if ("bodySelected" in d) {
      body.tasks = selected();
      count = body.tasks.length;
    } else if (d.preview) {
      count = (await answerOf(await fetch(d.preview))).dead;
      body.expect = count;
    }
    if (d.bodyTasks) body.tasks = d.bodyTasks.split(" ");
    for (const name of ["job", "labourer", "error"]) {
      const given = d["body" + name[0].toUpperCase() + name.slice(1)];
      if (given) body[name] = given;
    }
    if (!(await ask(button, count))) return;
    const answer = await answerOf(await fetch(d.action, { method: "POST", headers: { "X-Drover-Token": token, "Content-Type": "application/json" }, body: JSON.stringify(body) }));
    if ("follow" in d && answer.follow) {
      location.href = answer.follow;
      return;
    }
    say(d.yes + ": done" + (answer.state ? `, now ${answer.state}` : "") + ".");
    await refresh();
  } catch (problem) {
    say(String(problem.message || problem));
  }
}

document.addEventListener("click", (e) => {
  const button = e.target.closest("[data-action]");
  if (button) act(button);
  const copy = e.target.closest("[data-copy]");
  if (copy) navigator.clipboard.writeText($("#" + CSS.escape(copy.dataset.copy)).textContent).then(() => say("Copied."), () => say("The browser does not allow it."));
});
document.addEventListener("change", (e) => {
  if (e.target.matches("[data-all]")) for (const box of $$("[data-select]")) box.checked = e.target.checked;
  if (e.target.matches("form[data-auto] select")) e.target.form.requestSubmit();
  afterwards();
});
// A filter that is empty is not part of the address.
document.addEventListener("submit", (e) => {
  if (e.target.matches("form.filters")) for (const field of $$("input, select", e.target)) if (!field.value) field.disabled = true;
});

// ---- theme and keys --------------------------------------------------------------------------------------------------------------------------

function switchTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("drover-theme", document.documentElement.dataset.theme);
}

function showKeys() {
  const list = $("#keys-actions");
  list.textContent = "";
  for (const button of $$("[data-key]")) {
    const key = document.createElement("dt");
    key.append(Object.assign(document.createElement("kbd"), { textContent: button.dataset.key }));
    list.append(key, Object.assign(document.createElement("dd"), { textContent: button.textContent.trim() }));
  }
  $("#keys").showModal();
}

const rows = () => $$("[data-row]").filter((row) => row.offsetParent !== null);
const linkOf = (row) => $("th a, li a, a", row) || $("a", row);
function step(by) {
  const all = rows();
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
  if (next && linkOf(next)) linkOf(next).focus();
}

let going = 0;
const keys = {
  "?": showKeys,
  "/": () => $("#q").select(),
  j: () => step(1),
  k: () => step(-1),
  n: () => $("[data-next]")?.click(),
  t: switchTheme,
  f: () => $("[data-filter]")?.focus(),
  g: () => (going = Date.now()),
  x: () => $("[data-select]", document.activeElement.closest("[data-row]") || document.createElement("i"))?.click(),
};
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || $("dialog[open]")) return;
  if (e.key === "Escape" && e.target.matches("input, select")) e.target.blur();
  if (e.target.matches("input:not([type=checkbox]), select, textarea")) return;
  if (localStorage.getItem("drover-keys") === "off" && e.key !== "?") return;
  let does = keys[e.key];
  if (going && Date.now() - going < 1500) {
    const link = $(`[data-go="${CSS.escape(e.key)}"]`);
    if (link) does = () => link.click();
  }
  going = 0;
  const button = $$("[data-key]").find((b) => b.dataset.key === e.key);
  if (!does && button) does = () => act(button);
  if (!does) return;
  e.preventDefault();
  does();
});
$("#theme").addEventListener("click", switchTheme);
$("#help").addEventListener("click", showKeys);
$("#keys-on").checked = localStorage.getItem("drover-keys") !== "off";
$("#keys-on").addEventListener("change", (e) => localStorage.setItem("drover-keys", e.target.checked ? "on" : "off"));

localTimes();
afterwards();
listen();
