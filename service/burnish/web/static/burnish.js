"use strict";
// What the pages do in the browser besides htmx: times, confirmation, keys, the state of the line.
(() => {
  const language = document.documentElement.lang;
  const moment = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const today = new Intl.DateTimeFormat(language, { timeStyle: "short" });
  const exact = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });
  const passed = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

  // "since" shows the time that has passed; other times are shown in the time zone of the browser.
  function showTime(element) {
    const time = new Date(element.dateTime);
    let text;
    if (element.dataset.form === "since") {
      const seconds = Math.round((time - Date.now()) / 1000);
      const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || UNITS[3];
      text = passed.format(Math.trunc(seconds / length), unit);
    } else {
      const isToday = time.toDateString() === new Date().toDateString();
      text = (isToday ? today : moment).format(time);
    }
    if (element.textContent !== text) element.textContent = text;
    if (!element.title) element.title = exact.format(time);
  }

  function showTimes() {
    document.querySelectorAll("time[datetime]").forEach(showTime);
  }

  // A question in a dialog of the page, in place of the one of the browser.
  function confirmWithDialog(event) {
    const { ctx, issueRequest, dropRequest } = event.detail;
    const question = ctx?.confirm;
    if (!question) return;
    event.preventDefault();
    const dialog = document.getElementById("confirm");
    document.getElementById("confirm-question").textContent = question;
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "yes") issueRequest();
      else dropRequest?.();
    }, { once: true });
    dialog.showModal();
  }

  function onKey(event) {
    const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const search = document.getElementById("search");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape") {
      document.querySelectorAll("details.who[open]").forEach((menu) => {
        if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
        menu.open = false;
      });
    }
  }

  // Whoever uses the keyboard goes on near an element that an update has removed.
  let focused = null;
  let around = [];

  function rememberFocus(event) {
    focused = event.target;
    around = [];
    for (let node = focused.parentElement; node; node = node.parentElement) {
      if (node.id) around.push(node.id);
    }
  }

  function keepFocus() {
    if (document.activeElement !== document.body || !focused || focused.isConnected) return;
    for (const id of around) {
      const place = document.getElementById(id);
      const next = place?.querySelector("a[href], button, summary, input:not([type=hidden]), select");
      if (next) {
        next.focus();
        return;
      }
    }
  }

  function setConnected(isConnected) {
    const line = document.getElementById("connection");
    if (line) line.hidden = isConnected;
  }

  document.addEventListener("htmx:confirm", confirmWithDialog);
  document.addEventListener("htmx:after:swap", showTimes);
  document.addEventListener("htmx:sse:error", () => setConnected(false));
  document.addEventListener("htmx:sse:after:connection", () => setConnected(true));
  document.addEventListener("htmx:before:request", () => {
    const messages = document.getElementById("messages");
    if (messages) messages.replaceChildren();
  });
  document.addEventListener("htmx:after:swap", keepFocus);
  document.addEventListener("focusin", rememberFocus);
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    document.querySelectorAll("details.who[open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
  showTimes();
  setInterval(showTimes, 10000);
})();
