// What pages gain from JavaScript: copying, ticking times, questions before deeds, logs, news of streams.
// Everything works by attributes (docs/ui.md), also in parts that htmx swaps in later.
"use strict";

(() => {
  const AGAIN_MS = 3000;
  const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];

  // --- toasts ---

  function toast(text) {
    const box = document.querySelector(".toasts");
    const line = document.createElement("div");
    line.className = "toast";
    line.textContent = text;
    box.append(line);
    setTimeout(() => line.remove(), 4000);
  }

  // --- copying ---

  async function copy(text) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea"); // plain HTTP has no clipboard
    area.value = text;
    area.className = "hidden-label";
    document.body.append(area);
    area.select();
    const isDone = document.execCommand("copy");
    area.remove();
    if (!isDone) throw new Error("not copied");
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await copy(button.dataset.copy);
      toast("Copied");
      button.focus();
    } catch {
      toast("This browser does not let pages copy");
    }
  });

  // --- relative times, as the server writes them ---

  function ago(seconds) {
    const past = Math.abs(seconds);
    for (const [unit, size] of UNITS) {
      if (past >= size) {
        const text = `${Math.floor(past / size)} ${unit}`;
        return seconds > 0 ? `${text} ago` : `in ${text}`;
      }
    }
    return past < 5 ? "just now" : seconds > 0 ? `${Math.floor(past)} s ago` : `in ${Math.floor(past)} s`;
  }

  function tick() {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const moment = Date.parse(time.dateTime);
      const text = Number.isNaN(moment) ? time.textContent : ago((Date.now() - moment) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // --- questions before deeds ---

  function ask(question, word, proceed) {
    const dialog = document.createElement("dialog");
    const box = document.createElement("article");
    const text = document.createElement("p");
    const form = document.createElement("form");
    const footer = document.createElement("footer");
    const [no, yes] = ["No, go back", "Yes, do it"].map((name) => {
      const button = document.createElement("button");
      button.textContent = name;
      footer.append(button);
      return button;
    });
    text.textContent = question;
    text.id = "question";
    dialog.setAttribute("aria-labelledby", "question");
    no.type = "button";
    no.className = "secondary";
    yes.className = "danger";
    if (word) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.autocomplete = "off";
      label.append(`Type ${word} to confirm`, input);
      form.append(label);
      yes.disabled = true;
      input.addEventListener("input", () => { yes.disabled = input.value.trim() !== word; });
    }
    form.append(footer);
    box.append(text, form);
    dialog.append(box);
    document.body.append(dialog);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close();
      proceed();
    });
    no.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    dialog.showModal();
    if (!word) no.focus();
  }

  document.addEventListener("submit", (event) => {
    const { form, button } = { form: event.target, button: event.submitter };
    const question = button?.dataset.confirm || form.dataset.confirm;
    if (!question || form.isConfirmed) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    ask(question, button?.dataset.confirmWord || form.dataset.confirmWord, () => {
      form.isConfirmed = true;
      form.requestSubmit(button);
      form.isConfirmed = false;
    });
  }, true);

  // --- menus ---

  function closeMenus(but) {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== but) menu.open = false;
  }

  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    document.querySelector("details.menu[open] > summary")?.focus();
    closeMenus(null);
  });

  // --- tabs inside a page: arrows go from one to the next ---

  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest('[role="tab"], .tabs a');
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!tab || !step) return;
    const all = [...tab.closest('.tabs, [role="tablist"]').querySelectorAll('[role="tab"], a')];
    event.preventDefault();
    all[(all.indexOf(tab) + step + all.length) % all.length].focus();
  });

  document.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (!tab) return;
    for (const other of tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]')) {
      const isChosen = other === tab;
      other.setAttribute("aria-selected", String(isChosen));
      other.tabIndex = isChosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls"))?.toggleAttribute("hidden", !isChosen);
    }
  });

  // --- logs ---

  function control(name, whenPressed) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "secondary small";
    button.textContent = name;
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const isOn = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isOn));
      whenPressed(isOn);
    });
    return button;
  }

  function mark(pre, words) {
    const text = pre.textContent;
    const parts = words ? text.split(words) : [text];
    pre.replaceChildren();
    parts.forEach((part, index) => {
      if (index) {
        const hit = document.createElement("mark");
        hit.textContent = words;
        pre.append(hit);
      }
      pre.append(part);
    });
    return parts.length - 1;
  }

  function follow(log) {
    if (log.isFollowed) return;
    log.isFollowed = true;
    const shown = () => log.querySelector("pre"); // htmx may have put another one there
    let isPaused = false;
    const toEnd = () => { if (!isPaused) shown().scrollTop = shown().scrollHeight; };
    const search = document.createElement("input");
    const hits = document.createElement("span");
    search.type = "search";
    search.placeholder = "Find";
    search.setAttribute("aria-label", "Find in the log");
    hits.className = "muted";
    hits.setAttribute("role", "status");
    search.addEventListener("input", () => {
      isPaused = Boolean(search.value);
      const count = mark(shown(), search.value);
      hits.textContent = search.value ? `${count} found` : "";
      shown().querySelector("mark")?.scrollIntoView({ block: "nearest" });
    });
    log.querySelector(".controls").append(
      control("Pause", (isOn) => { isPaused = isOn; toEnd(); }),
      control("Wrap", (isOn) => log.classList.toggle("is-wrapped", isOn)),
      search,
      hits,
    );
    new MutationObserver(toEnd).observe(log, { childList: true, subtree: true, characterData: true });
    toEnd();
  }

  // --- overlays: how much of the upper picture shows ---

  document.addEventListener("input", ({ target }) => {
    const box = target.closest("[data-opacity]");
    if (box) document.getElementById(box.dataset.opacity)?.style.setProperty("--opacity", target.value / 100);
  });

  // --- streams: say so while one is away ---

  htmx.config.sse = { reconnectMaxDelay: 5000 }; // else a long absence is noticed up to a minute late

  function whileAway(isAway) {
    return (event) => {
      const box = event.target.closest?.("[data-live]");
      for (const word of box?.querySelectorAll(".reconnecting") ?? []) word.hidden = !isAway;
    };
  }

  for (const name of ["htmx:sse:error", "htmx:error"]) {
    document.addEventListener(name, whileAway(true));
  }
  for (const name of ["htmx:sse:after:connection", "htmx:sse:after:message"]) {
    document.addEventListener(name, whileAway(false));
  }

  // htmx takes a stream up again that broke, but not one whose first request failed
  document.addEventListener("htmx:error", ({ target }) => {
    if (!target.matches?.("[hx-sse\\:connect]")) return;
    setTimeout(() => {
      if (!target.isConnected) return;
      const again = target.cloneNode(true);
      again.classList.remove("htmx-request");
      target.replaceWith(again);
      htmx.process(again);
    }, AGAIN_MS);
  });

  // what a stream would have told is asked for instead, until there is one again
  function poll() {
    for (const box of document.querySelectorAll("[data-poll]")) {
      const isAway = box.querySelector(".reconnecting:not([hidden])");
      const target = box.querySelector(box.dataset.pollInto);
      if (isAway && target && !document.hidden) htmx.ajax("GET", box.dataset.poll, { target, swap: "innerMorph" });
    }
  }

  setInterval(poll, AGAIN_MS);

  // --- begin, and again for what comes in later ---

  function dress() {
    document.querySelectorAll("[data-log]").forEach(follow);
    for (const box of document.querySelectorAll("[data-opacity]")) box.hidden = false;
    tick();
  }

  document.addEventListener("htmx:after:swap", dress);
  dress();
  setInterval(tick, 5000);
})();
