// Telling the sidecar something: a question first where it matters, then the POST, then a word.

import { $, write } from "./dom.js";

let answer = () => {};

// The event `close` comes a moment after the dialog went, and by then the next question may stand.
$("confirm").addEventListener("submit", (event) => answer(event.submitter?.value === "yes"));
$("confirm").addEventListener("close", () => { if (!$("confirm").open) answer(false); });

/** Ask in a dialog; true for yes. The focus starts on Cancel and goes back to where it was. */
export function confirmed(title, text, yes, grave = true) {
  answer(false);
  write($("confirm-title"), title);
  write($("confirm-text"), text);
  write($("confirm-yes"), yes);
  $("confirm-yes").classList.toggle("grave", grave);
  $("confirm").showModal();
  return new Promise((resolve) => { answer = resolve; });
}

/** POST it, say how it went; the answer's JSON, or null where it was refused. */
export async function order(path, words, done) {
  const query = new URLSearchParams(words).toString();
  try {
    const answer = await fetch(query ? `${path}?${query}` : path, { method: "POST" });
    const told = await answer.json();
    if (answer.ok) toast(typeof done === "function" ? done(told) : done);
    else toast(told.error ?? (told.errors ?? []).join("; ") ?? `status ${answer.status}`, true);
    return answer.ok ? told : null;
  } catch {
    toast("The sidecar did not answer.", true);
    return null;
  }
}

let leaving;

export function toast(text, bad = false) {
  const node = $("toast");
  clearTimeout(leaving);
  write(node, text);
  node.className = bad ? "shown bad" : "shown";
  leaving = setTimeout(() => { node.className = ""; }, bad ? 12000 : 5000);
}
