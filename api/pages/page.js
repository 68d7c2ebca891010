// The script of all landing pages. It sends the form, and shows the answer beside the fields.

// Errors that belong to a field, although the API reports them for the whole request.
const PLACES = {
  INVALID_CODE: ["code"],
  PASSWORD_CONTAINS_NAME: ["new_password", "password"],
  USERNAME_TAKEN: ["username"],
};
const MILLISECONDS = 60_000;

const form = document.querySelector("form");
const problem = document.getElementById("problem");
const send = form.querySelector("[type=submit]");
let code = null;
let isBusy = false;

takeCode();
addEventListener("hashchange", takeCode);
form.addEventListener("submit", submit);
for (const button of form.querySelectorAll(".show")) button.addEventListener("click", () => toggle(button));
form.hidden = false;

// Take the code from the fragment of the link. It must not stay in the address bar or in the history.
function takeCode() {
  const found = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!found) return;
  code = found;
  history.replaceState(null, "", location.pathname);
  clear();
  field("code").hidden = true;
  show(true);
}

async function submit(event) {
  event.preventDefault();
  if (isBusy) return;
  clear();
  setBusy(true);
  try {
    const response = await post({ ...Object.fromEntries(new FormData(form)), ...(code && { code }) });
    if (response.ok) finish();
    else report(await response.json());
  } catch {
    problem.textContent = form.dataset.unreachable;
  } finally {
    setBusy(false);
  }
}

function post(body) {
  return fetch(form.getAttribute("action"), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    credentials: "omit",
    redirect: "error",
    signal: AbortSignal.timeout(MILLISECONDS),
  });
}

function finish() {
  code = null;
  form.reset();
  show(false);
  document.title = document.title.replace(/^.*(?= – )/, document.getElementById("result").textContent);
  document.getElementById("result").focus();
}

// Show the form, or else the result.
function show(isStart) {
  document.getElementById("start").hidden = !isStart;
  document.getElementById("done").hidden = isStart;
}

// Show the faults of a request beside their fields, and other errors above the button.
function report(answer) {
  for (const fault of answer.errors ?? [answer]) {
    const names = fault.pointer ? [fault.pointer.split("/")[2]] : (PLACES[fault.code] ?? []);
    const place = names.map(field).find(Boolean);
    write(place, fault);
  }
  form.querySelector("[aria-invalid]")?.focus();
}

// The texts of the page are in its language. Those of the API are in English.
function write(place, fault) {
  const own = place && JSON.parse(place.dataset.errors)[fault.code];
  const text = own ?? JSON.parse(form.dataset.errors)[fault.code];
  const line = document.createElement("span");
  line.textContent = `${text ?? fault.detail} `;
  if (!text) line.lang = "en";
  if (!place) {
    problem.append(line);
    return;
  }
  if (place.dataset.field === "code") code = null;
  place.hidden = false;
  place.querySelector(".error").append(line);
  place.querySelector("input").setAttribute("aria-invalid", "true");
}

function clear() {
  for (const line of form.querySelectorAll(".error, .problem")) line.textContent = "";
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

// A disabled button would lose the focus.
function setBusy(value) {
  isBusy = value;
  send.setAttribute("aria-disabled", String(value));
}

function toggle(button) {
  const isShown = button.getAttribute("aria-pressed") === "true";
  button.setAttribute("aria-pressed", String(!isShown));
  document.getElementById(button.getAttribute("aria-controls")).type = isShown ? "password" : "text";
}

function field(name) {
  return [...form.querySelectorAll(".field")].find((place) => place.dataset.field === name);
}
