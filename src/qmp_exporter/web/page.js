/* Keeps a page up to date. Without it everything is there, as of the time that the page says.

   The server alone makes HTML. When the stream of events says that something happened, the page is
   fetched anew and what differs is changed in place, so that focus, selection and scroll position
   stay. Only the list of events is written here, as text and never as HTML. */
"use strict";

(() => {
  const PACE = 1000; // ms between two fetches, at least
  const SHARE = 10; // and as many times as long as the last one took
  const IDLE = 15000; // ms after which a page is fetched although nothing happened
  const RETRY = 3000; // ms until a stream that was refused is tried again
  const STUCK = 5000; // ms without an answer after which the stream makes room for it, or twice that
  const DEAD = 60000; // ms without an answer after which none is awaited; also, until a stream again
  const SETTLE = 5000; // ms after an event in which more may become known of it
  const TYPING = 120; // ms without a key after which a search begins

  const id = (name) => document.getElementById(name);
  const main = id("main");
  const live = id("live");
  const pause = id("pause");
  let paused = false;

  // ---- one page into another

  const key = (node) => node.id || node.dataset?.key || "";

  function morph(now, next) {
    if (now.isEqualNode(next) || now.dataset?.own !== undefined) return;
    if (now.nodeType !== Node.ELEMENT_NODE) {
      now.data = next.data;
      return;
    }
    for (const { name } of [...now.attributes]) {
      if (!next.hasAttribute(name)) now.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) {
      if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    }
    const known = new Map();
    for (const child of now.children) if (key(child)) known.set(key(child), child);
    const kept = new Set();
    for (const child of next.children) if (known.has(key(child))) kept.add(key(child));
    let at = now.firstChild;
    const skip = () => {
      while (at && key(at) && !kept.has(key(at))) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
      }
    };
    for (const wanted of [...next.childNodes]) {
      skip();
      let found = known.get(key(wanted));
      if (!found && at && !key(at) && !key(wanted) && at.nodeName === wanted.nodeName) found = at;
      if (found === at && at) at = at.nextSibling;
      else now.insertBefore(found ?? document.importNode(wanted, true), at);
      if (found) morph(found, wanted);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  const entry = (key) => id("log")?.querySelector(`[data-key="${CSS.escape(key)}"]`);

  // Shows a page that was fetched; `anew`: with its list of events instead of the one shown.
  function show(page, anew) {
    const focused = document.activeElement;
    const row = focused.closest("[data-key]")?.dataset.key;
    document.title = page.title;
    if (anew) {
      const log = page.getElementById("log");
      id("log").replaceChildren(...log.children);
      after = log.dataset.after;
    } else {
      // What is told of an event later, as the cause of a STOP.
      for (const item of page.querySelectorAll("#log > li")) {
        const told = entry(item.dataset.key);
        if (told) morph(told, item);
      }
    }
    morph(main, page.getElementById("main"));
    if (document.activeElement === focused) return;
    const again = focused.isConnected
      ? focused // it was moved
      : row && main.querySelector(`[data-key="${CSS.escape(row)}"] a`); // to another group
    again?.focus({ preventScroll: true });
  }

  // ---- fetching it

  let timer, fetching;
  let fetchedAt = performance.now();
  let pace = PACE;
  let chosen = false; // whether the events were chosen anew since
  let missed = false; // whether something happened while a page was under way

  async function refresh(anew = false) {
    clearTimeout(timer);
    timer = undefined;
    fetching?.abort();
    const mine = (fetching = new AbortController());
    const began = performance.now();
    chosen ||= anew;
    missed = false;
    const stuck = setTimeout(giveWay, STUCK * (1 + Math.random()));
    const dead = setTimeout(() => mine.abort(), DEAD);
    let answer, text;
    try {
      answer = await fetch(location.href, { signal: mine.signal });
      clearTimeout(stuck);
      text = await answer.text();
    } catch {
      answer = undefined; // the stream tells of a connection that is lost
    }
    clearTimeout(stuck);
    clearTimeout(dead);
    if (fetching !== mine) return; // a later one is under way
    fetching = undefined;
    fetchedAt = performance.now();
    if (answer) pace = Math.max(PACE, SHARE * (fetchedAt - began));
    later(missed ? pace : IDLE);
    if (answer?.ok) {
      show(new DOMParser().parseFromString(text, "text/html"), chosen || (polled && !!id("log")));
      if (chosen) listen();
      chosen = false;
      if (source?.readyState === EventSource.OPEN) say("Live");
      else if (polled) say(`Not live, but anew every ${IDLE / 1000} s`);
    } else if (answer) say(answer.status === 404 ? "This virtual machine is gone" : text.trim());
    else if (!source) say("There is no answer; trying again");
  }

  let due;
  function later(ms) {
    if (paused || document.hidden) return;
    const when = performance.now() + ms;
    if (timer !== undefined && due <= when) return;
    clearTimeout(timer);
    due = when;
    timer = setTimeout(refresh, ms);
  }

  // Once more after what is under way: that may have been made before this happened.
  function soon() {
    if (fetching) missed = true;
    else later(Math.max(0, fetchedAt + pace - performance.now()));
  }

  // ---- the stream of events

  let source, retry;
  let polled = false; // whether there is no stream because it made room
  let settled = 0;
  let after = (id("log") ?? id("stream")).dataset.after;

  function say(words) {
    if (live.textContent !== words) live.textContent = words;
  }

  function listen() {
    clearTimeout(retry);
    source?.close();
    source = undefined;
    polled = false;
    if (paused || document.hidden) return;
    const wanted = new URLSearchParams({ after });
    const fields = id("find") ? new FormData(id("find")) : new Map();
    const machine = id("stream")?.dataset.vm ?? fields.get("vm");
    if (machine) wanted.set("vm", machine);
    if (fields.get("event")) wanted.set("event", fields.get("event"));
    source = new EventSource(`events?${wanted}`);
    source.onopen = () => {
      say("Live");
      soon();
    };
    source.onmessage = ({ data, lastEventId }) => {
      after = lastEventId;
      settled = performance.now() + SETTLE;
      list(JSON.parse(data), lastEventId);
      soon();
    };
    source.addEventListener("skipped", ({ data, lastEventId }) => {
      after = lastEventId;
      list({ event: `${JSON.parse(data).skipped} events were skipped`, severity: "warn" });
      soon();
    });
    source.addEventListener("changed", ({ lastEventId }) => {
      after = lastEventId;
      if (id("log") || performance.now() < settled) soon();
    });
    source.onerror = () => {
      say("The connection is lost; trying again");
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
      retry = setTimeout(() => { soon(); listen(); }, RETRY);
    };
  }

  // A browser has six connections to a server. When streams hold them all, nothing else is answered.
  function giveWay() {
    if (!source) return;
    source.close();
    source = undefined;
    polled = true;
    say("There is no answer; trying again");
    clearTimeout(retry);
    retry = setTimeout(listen, DEAD);
  }

  const CLASSES = { error: "bad", fatal: "bad", warn: "warn" };

  function list({ vm = "", event, time, details = "", severity, count = 1 }, key) {
    const log = id("log");
    if (!log || (key && entry(key))) return;
    const item = id("entry").content.firstElementChild.cloneNode(true);
    const [when, name, link, rest] = item.children;
    item.className = CLASSES[severity] ?? "idle";
    if (key) item.dataset.key = key;
    if (time !== undefined) {
      const iso = new Date(time * 1000).toISOString();
      when.dateTime = `${iso.slice(0, 19)}Z`;
      when.textContent = iso.slice(11, 19);
    }
    link.textContent = vm;
    if (vm) link.href = `vm?${new URLSearchParams({ name: vm })}`;
    name.textContent = event;
    const many = count.toLocaleString("en");
    rest.textContent = count === 1 ? details : `${many} more within a second`;
    log.prepend(item);
    while (log.children.length > Number(log.dataset.most)) log.lastElementChild.remove();
  }

  // ---- what the user does

  let typing;

  // `anew`: the events are chosen anew, too.
  function ask(anew = false) {
    clearTimeout(typing);
    const given = [...new FormData(id("find"))].filter(([, value]) => value);
    const query = new URLSearchParams(given).toString();
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
    refresh(anew);
  }

  main.addEventListener("input", ({ target }) => {
    if (target.id !== "q") return;
    clearTimeout(typing);
    typing = setTimeout(ask, TYPING);
  });
  main.addEventListener("change", ({ target }) => {
    if (target.id === "vm" || target.id === "event") ask(true);
  });
  main.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(true);
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    clearTimeout(timer);
    timer = undefined;
    listen();
    if (paused) say("Paused");
    else refresh();
  });
  document.addEventListener("visibilitychange", () => {
    listen();
    if (!document.hidden) soon();
  });

  pause.hidden = false;
  listen();
  later(IDLE);
})();
