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
document.addEventListener("htmx:sendError", () => notice("The station does not answer.", true));
