"use strict";
// Labels wait here until the station has stored them: over a lost network, a log-out and a closed window.

const BOX = "latentline.outbox";
const me = document.querySelector(".user").textContent.split(",")[0];
let sending = false;

function outbox() {
  try {
    const kept = JSON.parse(localStorage.getItem(BOX) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

/** Keep what is to be sent, on the disk of the browser. Says so when that fails. */
function keep(items) {
  try {
    localStorage.setItem(BOX, JSON.stringify(items));
    return true;
  } catch {
    notice("This browser keeps nothing on its disk; the last label is not stored. Free some space, then label it again.", true);
    return false;
  }
}

function tellUnsent(reason) {
  const items = outbox();
  const others = items.filter((item) => item.user !== me).length;
  const parts = [];
  if (items.length > others) parts.push(`${items.length - others === 1 ? "One of your labels waits" : `${items.length - others} of your labels wait`} in this browser: ${reason} They are sent as soon as it can.`);
  if (others) parts.push(`${others === 1 ? "One label of somebody else waits" : `${others} labels of somebody else wait`} in this browser until they log in here.`);
  const box = document.getElementById("unsent");
  box.textContent = parts.join(" ");
  box.hidden = !parts.length;
}

/** Add a change about pictures. `done` is called with the answer, or with null when the station refused it. */
function post(path, body, done) {
  const key = `${Date.now()}-${Math.random()}`;
  if (keep([...outbox(), { user: me, path, body: { ...body, key }, key }])) {
    waiting.set(key, done);
    flush();
  }
}

const waiting = new Map();

async function flush() {
  if (sending) return;
  sending = true;
  try {
    for (;;) {
      const item = outbox().find((one) => one.user === me);
      if (item === undefined) { tellUnsent(""); return; }
      let answer = null;
      try {
        answer = await change(item.path, item.body);
      } catch (error) {
        if (error.status === 0 || error.status >= 500) { tellUnsent("the station does not answer."); return; }
        if (error.status === 401 || error.status === 403) {
          tellUnsent("log in again, in another tab or by loading this page.");
          return;
        }
        const which = item.body.pictures ?? [item.body.picture];
        notice(`Not stored, for ${which.length === 1 ? which[0] : `${which.length} pictures`}: ${error.message}`, true);
      }
      keep(outbox().filter((one) => one.key !== item.key));
      waiting.get(item.key)?.(answer);
      waiting.delete(item.key);
    }
  } finally {
    sending = false;
  }
}

window.addEventListener("online", flush);
setInterval(() => { if (outbox().length) flush(); }, 3000);
flush();
