"use strict";
// Promote and revert: ask once more, then wait until the station has switched or says why not.

const sure = document.getElementById("sure");
for (const button of document.querySelectorAll(".promote")) {
  button.addEventListener("click", () => {
    document.getElementById("sure-text").textContent =
      `${button.dataset.word}? The station loads and tests ${button.dataset.name}, then judges with it. The running model stays if the test fails.`;
    sure.returnValue = "";
    sure.showModal();
    sure.onclose = () => { if (sure.returnValue === "yes") promote(button); };
  });
}

async function promote(button) {
  for (const other of document.querySelectorAll(".promote")) other.disabled = true;
  notice(`${button.dataset.name} is loaded and tested; this may take a minute.`);
  try {
    const { path, name, sha256 } = button.dataset;
    const done = await change(path, path === "/model" ? { name, sha256 } : { sha256 });
    reloadWith(`${path === "/model" ? "The station has switched" : "The station has gone back"} from ${done.old.name} to ${done.new.name}.`);
  } catch (error) {
    notice(error.message, true);
    for (const other of document.querySelectorAll(".promote")) other.disabled = false;
  }
}
