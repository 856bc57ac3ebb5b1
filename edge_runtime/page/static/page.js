"use strict";
// What every page shares: requests that change something, and a notice for what came of them.

const token = document.querySelector('meta[name="csrf"]')?.content ?? "";

/** Show a sentence at the bottom; an error stays until the next one. */
function notice(sentence, bad = false) {
  const box = document.getElementById("notice");
  box.textContent = sentence;
  box.classList.toggle("bad", bad);
  box.hidden = sentence === "";
  clearTimeout(notice.timer);
  if (!bad) notice.timer = setTimeout(() => { box.hidden = true; }, 6000);
}

/** Date and time of day where the browser is, with its zone: "2026-11-28 19:02:11 GMT+1". at: ISO 8601 in UTC. */
function localTime(at) {
  return new Date(at).toLocaleString("sv", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  });
}

function showLocalTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) element.textContent = localTime(element.dateTime);
}

/** Load the page again, and then show a sentence. */
function reloadWith(sentence) {
  sessionStorage.setItem("notice", sentence);
  location.reload();
}

/** Send JSON to this station. Resolves to its answer; rejects with an Error that has the sentence and the status. */
async function change(path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": token },
      body: JSON.stringify(body),
    });
  } catch {
    throw Object.assign(new Error("The station does not answer."), { status: 0 });
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw Object.assign(new Error(content.error ?? `The station answered ${answer.status}.`), { status: answer.status });
  }
  return content;
}

document.getElementById("logout")?.addEventListener("click", async () => {
  try {
    await change("/logout", {});
  } finally {
    location.href = "/login";
  }
});

document.addEventListener("htmx:configRequest", (event) => { event.detail.headers["X-CSRF-Token"] = token; });
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 401) location.href = "/login";
});
document.addEventListener("htmx:afterSwap", showLocalTimes);
document.addEventListener("htmx:sendError", () => notice("The station does not answer.", true));
showLocalTimes();
if (sessionStorage.getItem("notice") !== null) notice(sessionStorage.getItem("notice"));
sessionStorage.removeItem("notice");
