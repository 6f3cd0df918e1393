// What pages are made of. All that comes from outside becomes text nodes and attributes, never markup.

import {html, useCallback, useEffect, useLayoutEffect, useRef, useState} from './vendor/htm-preact.js';
import {duration, localTime, pretty, relative, serverNow, utc} from './format.js';

// ---- Outcomes: each has a word, a shape and a colour

const OUTCOMES = {
  SUCCESS: ['good', 'Success'], FAILURE: ['bad', 'Failure'], SKIPPED: ['quiet', 'Skipped'], STARTED: ['live', 'Started'],
  STARTING: ['live', 'Starting'], QUEUED: ['waiting', 'Queued'], CANCELING: ['waiting', 'Canceling'], CANCELED: ['quiet', 'Canceled'],
  HELD: ['warn', 'Held'], REFUSED: ['bad', 'Refused'], SET_ASIDE: ['warn', 'Set aside'],
  RUNNING: ['good', 'Running'], STOPPED: ['quiet', 'Stopped'], PAUSED: ['warn', 'Paused'],
  LATE: ['warn', 'Late'],
  ok: ['good', 'OK'], warning: ['warn', 'Warning'], problem: ['bad', 'Problem'],
  SENT: ['good', 'Sent'], DROPPED: ['quiet', 'Dropped'], LEFT: ['warn', 'Left'], FAILED: ['bad', 'Failed'],
};

const SHAPES = {
  good: () => html`<circle cx="8" cy="8" r="7" class="fill" /><path d="M4.6 8.3l2.3 2.3 4.5-4.9" class="cut" />`,
  bad: () => html`<path d="M8 .8l7.2 7.2L8 15.2.8 8z" class="fill" /><path d="M5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6" class="cut" />`,
  quiet: () => html`<circle cx="8" cy="8" r="6" class="line" /><path d="M5 8h6" class="line" />`,
  live: () => html`<circle cx="8" cy="8" r="6" class="line" /><path d="M8 2a6 6 0 0 1 0 12z" class="fill" />`,
  waiting: () => html`<circle cx="8" cy="8" r="6" class="line dashed" /><circle cx="8" cy="8" r="2" class="fill" />`,
  warn: () => html`<path d="M8 1.2l7.2 13H.8z" class="fill" /><path d="M8 6v3.6M8 11.6v.4" class="cut" />`,
};

/** The tone of an outcome: which colour and shape it has. */
export const tone = (status) => (OUTCOMES[status] ?? ['quiet'])[0];
/** The word of an outcome. */
export const word = (status) => (OUTCOMES[status] ?? [null, String(status ?? '–')])[1];

export function Shape({status}) {
  return html`<svg class="shape ${tone(status)}" viewBox="0 0 16 16" aria-hidden="true" focusable="false">${SHAPES[tone(status)]()}</svg>`;
}

export function Badge({status, label, title}) {
  return html`<span class="badge ${tone(status)}" title=${title}><${Shape} status=${status} />${label ?? word(status)}</span>`;
}

// ---- Times

/** A time as people say it, with the exact one in its title. */
export function Time({at, ago = false, none = '–'}) {
  if (at === null || at === undefined) return html`<span class="faint">${none}</span>`;
  return html`<time datetime=${new Date(at).toISOString()} title=${`${localTime(at)} here, ${utc(at)}`}>${ago ? relative(at) : localTime(at)}</time>`;
}

export function Lasted({from, to}) {
  const ended = to ?? serverNow();
  return from === null || from === undefined ? html`<span class="faint">–</span>` : html`<span>${duration(ended - from)}${to ? '' : ' so far'}</span>`;
}

// ---- States of a page

export function Loading({what}) {
  return html`<p class="loading" role="status"><span class="spinner" aria-hidden="true"></span>Reading ${what} …</p>`;
}

export function Empty({children}) {
  return html`<div class="empty">${children}</div>`;
}

/** What went wrong, and a way to try again. */
export function Problem({error, retry}) {
  return html`<div class="notice bad" role="alert">
    <${Shape} status="FAILURE" /><p>${error.message}</p>${retry && html`<button class="small" onclick=${retry}>Try again</button>`}
  </div>`;
}

/** Content once it is there; before that, and when it cannot be had, words that say so. */
export function Loaded({of: {data, error, refresh}, what, children}) {
  if (data === undefined) return error ? html`<${Problem} error=${error} retry=${refresh} />` : html`<${Loading} what=${what} />`;
  return html`${error && html`<${Problem} error=${{message: `Not up to date. ${error.message}`}} retry=${refresh} />`}${children(data)}`;
}

export function Page({title, above, actions, children}) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${title} · Treadle`;
  }, [title]);
  return html`
    ${above && html`<nav class="crumbs" aria-label="Where this is">${above}</nav>`}
    <header class="page-head"><h1 tabindex="-1" ref=${heading}>${title}</h1>${actions && html`<div class="actions">${actions}</div>`}</header>
    ${children}`;
}

// ---- Tables: rows on a wide screen, cards on a phone

/**
 * Args:
 *   caption: what the table holds, for who does not see it.
 *   columns: of {name, of: (row) => content, kind?: 'number' | 'main' | 'whole' | 'narrow'}.
 *   rows, keyOf: the values, and what distinguishes them.
 *   empty: shown where there are none.
 */
export function Table({caption, columns, rows, keyOf, empty, rowClass = () => ''}) {
  if (rows.length === 0) return html`<${Empty}>${empty}<//>`;
  return html`<div class="table-frame" role="region" aria-label=${caption} tabindex="0"><table role="table">
    <caption class="unseen">${caption}</caption>
    <thead role="rowgroup"><tr role="row">${columns.map((column) => html`<th role="columnheader" scope="col" key=${column.name} class=${column.kind ?? ''}>${column.head ?? column.name}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map((row) => html`<tr role="row" key=${keyOf(row)} class=${rowClass(row)}>
      ${columns.map((column) => html`<td role="cell" key=${column.name} data-name=${column.name} class=${column.kind ?? ''}>${column.of(row)}</td>`)}
    </tr>`)}</tbody>
  </table></div>`;
}

/** Ways to older rows and back. */
export function Pager({isFirst, next, onFirst, onNext}) {
  if (isFirst && !next) return null;
  return html`<nav class="pager" aria-label="Pages">
    <button class="small" disabled=${isFirst} onclick=${onFirst}>Newest</button>
    <button class="small" disabled=${!next} onclick=${onNext}>Older</button>
  </nav>`;
}

export function Facts({facts}) {
  return html`<dl class="facts">${facts.filter(Boolean).map(([name, value, kind]) => html`<div key=${name} class=${kind ?? ''}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

// ---- Texts from outside

export function Copy({text, what}) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text).then(() => setDone(true), () => {});
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button class="small quiet" onclick=${copy} aria-label=${`Copy ${what}`}>${done ? 'Copied' : 'Copy'}</button>`;
}

/** A text over several lines, as it is; JSON is laid out. */
export function Text({text, what, plain = false}) {
  const shown = plain ? String(text) : pretty(text);
  return html`<div class="text"><pre tabindex="0" aria-label=${what}>${shown}</pre><${Copy} text=${shown} what=${what} /></div>`;
}

export function Log({lines, none = 'Nothing was logged.'}) {
  if (!lines || lines.length === 0) return html`<p class="faint">${none}</p>`;
  return html`<${Text} text=${lines.join('\n')} what="log" plain />`;
}

export function Mono({children, title}) {
  return html`<span class="mono" title=${title}>${children}</span>`;
}

// ---- Choices

/** One of several, as buttons side by side. */
export function Choice({label, options, value, onChange}) {
  return html`<div class="choice" role="group" aria-label=${label}>${options.map(([name, text]) => html`
    <button key=${name} type="button" aria-pressed=${String(name === value)} onclick=${() => onChange(name)}>${text}</button>`)}</div>`;
}

/** Tabs, each an address, so that "back" leads to the one before. */
export function Tabs({label, tabs, present}) {
  return html`<nav class="tabs" aria-label=${label}>${tabs.map(([name, text, href]) => html`
    <a key=${name} href=${href} aria-current=${name === present ? 'page' : undefined}>${text}</a>`)}</nav>`;
}

// ---- Dialogs

/** A modal dialog; Escape and the backdrop close it, and the focus returns to where it was. */
export function Dialog({title, onClose, wide = false, children}) {
  const box = useRef(null);
  useLayoutEffect(() => {
    const dialog = box.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  const outside = (event) => event.target === box.current && onClose();
  return html`<dialog ref=${box} class=${wide ? 'wide' : ''} aria-label=${title} onmousedown=${outside}
      oncancel=${(event) => { event.preventDefault(); onClose(); }}>
    <div class="dialog-body"><header><h2>${title}</h2><button class="small quiet" onclick=${onClose}>Close</button></header>${children}</div>
  </dialog>`;
}

/** Asks before something is done; says what came of it if it failed. */
export function Confirm({title, does, act, onClose, children}) {
  const [state, setState] = useState({busy: false, error: null});
  const carryOut = async () => {
    setState({busy: true, error: null});
    try {
      await act();
      onClose();
    } catch (error) {
      setState({busy: false, error});
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    ${children}
    ${state.error && html`<${Problem} error=${state.error} />`}
    <footer><button onclick=${onClose}>Keep as it is</button><button class="primary" disabled=${state.busy} onclick=${carryOut}>${state.busy ? 'Working …' : does}</button></footer>
  <//>`;
}

// ---- What was done, in one line at the foot of the page

const listeners = new Set();

/** Show what was done, or that it failed. */
export function notify(text, status = 'SUCCESS') {
  listeners.forEach((listener) => listener({text, status, at: Date.now()}));
}

export function Toast() {
  const [toast, setToast] = useState(null);
  useEffect(() => {
    listeners.add(setToast);
    return () => listeners.delete(setToast);
  }, []);
  useEffect(() => {
    if (!toast) return undefined;
    const timer = setTimeout(() => setToast(null), toast.status === 'SUCCESS' ? 6000 : 15_000);
    return () => clearTimeout(timer);
  }, [toast]);
  return html`<div class="toast" role="status" aria-live="polite">${toast && html`<p class="toast-line"><${Shape} status=${toast.status} />${toast.text}<button class="small quiet" onclick=${() => setToast(null)}>Dismiss</button></p>`}</div>`;
}

/** Something that is done at a click: {busy, run}. A failure is shown. */
export function useAct() {
  const [busy, setBusy] = useState(false);
  const run = useCallback(async (act) => {
    setBusy(true);
    try {
      return await act();
    } catch (error) {
      notify(error.message, 'FAILURE');
      return undefined;
    } finally {
      setBusy(false);
    }
  }, []);
  return {busy, run};
}
