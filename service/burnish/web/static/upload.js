"use strict";
// Sends DICOM files and folders from the page Arrivals, a few at a time, each as the body of a PUT.
(() => {
  const section = document.getElementById("upload");
  if (!section) return;
  const part = (name) => document.getElementById(`upload-${name}`);
  const texts = JSON.parse(section.dataset.texts);
  const longest = Number(section.dataset.longest);
  const token = JSON.parse(document.body.getAttribute("hx-headers:inherited"))["X-CSRF-Token"];
  const AT_ONCE = 4;
  const SHOWN_NAMES = 20;
  const number = new Intl.NumberFormat(document.documentElement.lang);

  let waiting = [];
  const sending = new Map();
  let results = [];
  let finished = { files: 0, bytes: 0 };
  let total = { files: 0, bytes: 0 };
  let began = { at: 0, bytes: 0 };
  let isStopped = false;

  function fill(text, values) {
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  }

  function size(bytes) {
    for (const [unit, length] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6]]) {
      if (bytes >= length) return `${number.format(Number((bytes / length).toPrecision(3)))} ${unit}`;
    }
    return `${number.format(Math.round(bytes / 1000))} kB`;
  }

  function duration(seconds) {
    const unit = seconds >= 5400 ? "hour" : seconds >= 90 ? "minute" : "second";
    const length = { hour: 3600, minute: 60, second: 1 }[unit];
    const count = Math.max(1, Math.round(seconds / length));
    return new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, unitDisplay: "long" }).format(count);
  }

  // --- what goes on

  function add(files, isAgain = false) {
    if (!files.length) return;
    if (!waiting.length && !sending.size) {
      if (!isAgain) {
        results = [];
        finished = { files: 0, bytes: 0 };
        total = { files: 0, bytes: 0 };
      }
      began = { at: performance.now(), bytes: finished.bytes };
    }
    isStopped = false;
    for (const entry of files) {
      waiting.push(entry);
      total.files += 1;
      total.bytes += entry.file.size;
    }
    sendMore();
    show();
  }

  function sendMore() {
    while (!isStopped && sending.size < AT_ONCE && waiting.length) send(waiting.shift());
    if (!waiting.length && !sending.size) end();
  }

  async function send(entry) {
    const transfer = { sent: 0, request: null, isCancelled: false };
    sending.set(entry, transfer);
    const result = await outcome(entry, transfer);
    sending.delete(entry);
    if (transfer.isCancelled) return;
    finished.files += 1;
    finished.bytes += entry.file.size;
    results.push({ ...result, entry });
    if (result.stops) stop(result);
    sendMore();
    show();
  }

  async function outcome(entry, transfer) {
    if (entry.file.size > longest) {
      return { outcome: "refused", reason: fill(texts.too_large, { size: size(longest) }), remedy: texts.too_large_remedy };
    }
    try {
      const prefix = await entry.file.slice(128, 132).text();
      if (prefix !== "DICM") return { outcome: "passed over", reason: texts.not_dicom, remedy: "" };
    } catch {
      return { outcome: "failed", reason: texts.unreadable, remedy: "" };
    }
    return transfer.isCancelled ? {} : put(entry.file, transfer);
  }

  function put(file, transfer) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      transfer.request = request;
      request.open("PUT", "/arrivals/files");
      request.setRequestHeader("X-CSRF-Token", token);
      request.setRequestHeader("Content-Type", "application/dicom");
      request.setRequestHeader("Accept", "application/json");
      request.responseType = "json";
      request.upload.addEventListener("progress", (event) => {
        transfer.sent = event.loaded;
        show();
      });
      request.addEventListener("loadend", () => resolve(answer(request)));
      request.send(file);
    });
  }

  function answer(request) {
    const facts = request.response;
    if (facts?.outcome) return { ...facts, stops: facts.outcome === "failed" };
    if (request.status === 401 || request.status === 403) {
      return { outcome: "failed", reason: texts.signed_out, remedy: texts.signed_out_remedy, stops: true };
    }
    return { outcome: "failed", reason: texts.lost, remedy: texts.lost_remedy, stops: true };
  }

  // After a failure that the next file would meet too, nothing more is sent until somebody says so.
  function stop(result) {
    isStopped = true;
    for (const entry of waiting) results.push({ ...result, entry });
    finished.files += waiting.length;
    for (const entry of waiting) finished.bytes += entry.file.size;
    waiting = [];
  }

  function cancel() {
    waiting = [];
    for (const transfer of sending.values()) {
      transfer.isCancelled = true;
      transfer.request?.abort();
    }
    sending.clear();
    end(true);
  }

  function again() {
    const failed = results.filter((result) => result.outcome === "failed").map((result) => result.entry);
    results = results.filter((result) => result.outcome !== "failed");
    for (const entry of failed) {
      for (const sum of [finished, total]) {
        sum.files -= 1;
        sum.bytes -= entry.file.size;
      }
    }
    add(failed, true);
  }

  // --- what is shown

  function count(name) {
    return results.filter((result) => result.outcome === name).length;
  }

  let isDue = false;
  function show() {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      draw();
    });
  }

  function draw() {
    part("state").hidden = false;
    const isOver = !waiting.length && !sending.size;
    let sent = finished.bytes;
    for (const transfer of sending.values()) sent += transfer.sent;
    part("progress").value = total.bytes ? Math.min(1, sent / total.bytes) : 1;
    part("cancel").hidden = isOver;
    const failed = count("failed");
    part("again").hidden = !isOver || !failed;
    part("again").textContent = fill(texts.again, { count: number.format(failed) });
    if (!isOver) part("words").textContent = progressWords(sent);
    drawReasons();
  }

  function progressWords(sent) {
    let words = fill(texts.progress, {
      done: number.format(finished.files), count: number.format(total.files), sent: size(sent), size: size(total.bytes),
    });
    const passed = (performance.now() - began.at) / 1000;
    const rate = (sent - began.bytes) / passed;
    if (passed > 3 && rate > 0) words += ` · ${fill(texts.left, { time: duration((total.bytes - sent) / rate) })}`;
    return words;
  }

  // What was not received, by reason; names of files appear nowhere but here.
  function drawReasons() {
    const groups = new Map();
    for (const result of results) {
      if (result.outcome === "received") continue;
      const key = JSON.stringify([result.outcome, result.reason, result.remedy]);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(result.entry.name);
    }
    const list = part("reasons");
    const open = new Set([...list.querySelectorAll("details[open]")].map((node) => node.dataset.key));
    list.replaceChildren(...[...groups].map(([key, names]) => reasonItem(key, names, open.has(key))));
  }

  function reasonItem(key, names, isOpen) {
    const [outcome, reason, remedy] = JSON.parse(key);
    const item = document.createElement("li");
    item.className = `upload-${outcome.replace(" ", "-")}`;
    const heading = document.createElement("b");
    heading.textContent = fill(texts[outcome.replace(" ", "_")], { count: number.format(names.length), reason });
    item.append(heading);
    if (remedy) {
      const remedyLine = document.createElement("span");
      remedyLine.className = "remedy";
      remedyLine.textContent = remedy;
      item.append(remedyLine);
    }
    const details = document.createElement("details");
    details.dataset.key = key;
    details.open = isOpen;
    const summary = document.createElement("summary");
    summary.textContent = names[0];
    details.append(summary);
    const lines = document.createElement("ul");
    for (const name of names.slice(0, SHOWN_NAMES)) {
      const line = document.createElement("li");
      line.textContent = name;
      lines.append(line);
    }
    if (names.length > SHOWN_NAMES) {
      const line = document.createElement("li");
      line.textContent = fill(texts.more, { count: number.format(names.length - SHOWN_NAMES) });
      lines.append(line);
    }
    details.append(lines);
    item.append(details);
    return item;
  }

  function end(isCancelled = false) {
    if (!total.files) return;
    const received = count("received");
    const values = { count: number.format(received), total: number.format(total.files) };
    let text = received ? texts.done : texts.done_none;
    if (isCancelled) text = texts.cancelled;
    else if (isStopped) text = texts.stopped;
    part("words").textContent = fill(text, values);
    part("said").textContent = fill(text, values);
    show();
  }

  // --- where files come from

  function chosen(input) {
    add([...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
    input.value = "";
  }

  async function dropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = [...transfer.files];
    if (!entries.length) {
      add(files.map((file) => ({ file, name: file.name })));
      return;
    }
    const found = [];
    for (const entry of entries) await walk(entry, found);
    add(found);
  }

  async function walk(entry, found) {
    if (entry.isFile) {
      const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
      if (file) found.push({ file, name: entry.fullPath.replace(/^\//, "") });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      // a folder is read in parts, the last of which is empty
      const children = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
      if (!children.length) return;
      for (const child of children) await walk(child, found);
    }
  }

  for (const kind of ["files", "folder"]) {
    part(`choose-${kind}`).addEventListener("click", () => part(kind).click());
    part(kind).addEventListener("change", () => chosen(part(kind)));
  }
  part("cancel").addEventListener("click", cancel);
  part("again").addEventListener("click", again);
  document.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    part("drop").classList.add("drop-over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) part("drop").classList.remove("drop-over");
  });
  document.addEventListener("drop", (event) => {
    part("drop").classList.remove("drop-over");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    dropped(event.dataTransfer);
  });
  window.addEventListener("beforeunload", (event) => {
    if (waiting.length || sending.size) event.preventDefault();
  });
})();
