// What pages are made of. All that comes from outside becomes text nodes and attributes, never markup.

import {html, useCallback, useEffect, useState} from './vendor/htm-preact.js';
import {duration, localTime, pretty, relative, serverNow, utc} from './format.js';

// ---- Statuses: each has a label, a shape and a color

/** @typedef {'good' | 'bad' | 'quiet' | 'live' | 'waiting' | 'warn'} Tone */
/** @typedef {[name: string, value: Content, kind?: string]} Fact */
/** @typedef {false | 0 | '' | null | undefined} Falsy */

/** @type {Record<string, [Tone, string]>} */
const STATUSES = {
  SUCCESS: ['good', 'Success'],
  FAILURE: ['bad', 'Failure'],
  SKIPPED: ['quiet', 'Skipped'],
  STARTED: ['live', 'Started'],
  STARTING: ['live', 'Starting'],
  QUEUED: ['waiting', 'Queued'],
  CANCELING: ['waiting', 'Canceling'],
  CANCELED: ['quiet', 'Canceled'],
  HELD: ['warn', 'Held'],
  REFUSED: ['bad', 'Refused'],
  REJECTED: ['warn', 'Rejected'],
  RUNNING: ['good', 'Running'],
  STOPPED: ['quiet', 'Stopped'],
  PAUSED: ['warn', 'Paused'],
  LATE: ['warn', 'Late'],
  REQUESTED: ['live', 'Requested'],
  COMPLETED_SUCCESS: ['good', 'Completed'],
  COMPLETED_FAILED: ['bad', 'Completed, with failures'],
  WAITING: ['waiting', 'Waiting'],
  RESERVED: ['waiting', 'About to start'],
  IN_PROGRESS: ['live', 'In progress'],
  ok: ['good', 'OK'],
  warning: ['warn', 'Warning'],
  problem: ['bad', 'Problem'],
  SENT: ['good', 'Sent'],
  DROPPED: ['quiet', 'Dropped'],
  LEFT: ['warn', 'Left'],
  FAILED: ['bad', 'Failed'],
};

/** @type {Record<Tone, () => Content>} */
const SHAPES = {
  good: () => html`<circle cx="8" cy="8" r="7" class="fill" /><path d="M4.6 8.3l2.3 2.3 4.5-4.9" class="cut" />`,
  bad: () => html`
    <path d="M8 .8l7.2 7.2L8 15.2.8 8z" class="fill" />
    <path d="M5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6" class="cut" />
  `,
  quiet: () => html`<circle cx="8" cy="8" r="6" class="line" /><path d="M5 8h6" class="line" />`,
  live: () => html`<circle cx="8" cy="8" r="6" class="line" /><path d="M8 2a6 6 0 0 1 0 12z" class="fill" />`,
  waiting: () => html`<circle cx="8" cy="8" r="6" class="line dashed" /><circle cx="8" cy="8" r="2" class="fill" />`,
  warn: () => html`<path d="M8 1.2l7.2 13H.8z" class="fill" /><path d="M8 6v3.6M8 11.6v.4" class="cut" />`,
};

/**
 * The tone of a status: its color and shape.
 *
 * @param {string} status
 * @returns {Tone}
 */
const tone = (status) => (STATUSES[status] ?? ['quiet'])[0];
/**
 * The label of a status.
 *
 * @param {string} status
 */
const statusLabel = (status) => STATUSES[status]?.[1] ?? String(status ?? '–');

/** @param {{status: string}} props */
export function Shape({status}) {
  return html`<svg class="shape ${tone(status)}" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    ${SHAPES[tone(status)]()}
  </svg>`;
}

/** @param {{status: string, label?: string, title?: string}} props */
export function Badge({status, label, title}) {
  return html`<span class="badge ${tone(status)}" title=${title}>
    <${Shape} status=${status} />
    ${label ?? statusLabel(status)}
  </span>`;
}

// ---- Times

/**
 * A time as people say it, with the exact one in its title.
 *
 * @param {{at?: number | null, ago?: boolean, none?: string}} props
 */
export function Time({at, ago = false, none = '–'}) {
  if (at === null || at === undefined) return html`<span class="faint">${none}</span>`;
  return html`<time datetime=${new Date(at).toISOString()} title=${`${localTime(at)} here, ${utc(at)}`}>
    ${ago ? relative(at) : localTime(at)}
  </time>`;
}

/** @param {{from?: number | null, to?: number | null}} props */
export function Elapsed({from, to}) {
  const ended = to ?? serverNow();
  return from === null || from === undefined
    ? html`<span class="faint">–</span>`
    : html`<span>${duration(ended - from)}${to ? '' : ' so far'}</span>`;
}

// ---- States of a page

/** @param {{what: string}} props */
export function Loading({what}) {
  return html`<p class="loading" role="status"><span class="spinner" aria-hidden="true"></span>Reading ${what} …</p>`;
}

/** @param {{children?: Content}} props */
export function Empty({children}) {
  return html`<div class="empty">${children}</div>`;
}

/**
 * What went wrong, and a way to try again.
 *
 * @param {{error: {message: string}, retry?: () => void}} props
 */
export function Problem({error, retry}) {
  return html`<div class="notice bad" role="alert">
    <${Shape} status="FAILURE" />
    <p>${error.message}</p>
    ${retry && html`<button class="small" onclick=${retry}>Try again</button>`}
  </div>`;
}

/**
 * Content once it is there; before that, and when it cannot be had, a message.
 *
 * @template T
 * @param {{of: import('./live.js').Live<T>, what: string, children: (data: T) => Content}} props
 */
export function Loaded({of: {data, error, refresh}, what, children}) {
  if (data === undefined)
    return error ? html`<${Problem} error=${error} retry=${refresh} />` : html`<${Loading} what=${what} />`;
  return html`
    ${error && html`<${Problem} error=${{message: `Not up to date. ${error.message}`}} retry=${refresh} />`}
    ${children(data)}
  `;
}

/** @param {{title: string, above?: Content, actions?: Content, children?: Content}} props */
export function Page({title, above, actions, children}) {
  useEffect(() => {
    document.title = `${title} · Treadle`;
  }, [title]);
  return html`
    ${above && html`<nav class="crumbs" aria-label="Where this is">${above}</nav>`}
    <header class="page-head">
      <h1 tabindex="-1">${title}</h1>
      ${actions && html`<div class="actions">${actions}</div>`}
    </header>
    ${children}
  `;
}

// ---- Tables: rows on a wide screen, cards on a phone

/**
 * @template Row
 * @param {object} props
 * @param {string} props.caption what the table contains, for screen readers.
 * @param {Column<Row>[]} props.columns
 * @param {Row[]} props.rows
 * @param {(row: Row) => string | number} props.keyOf identifies a row.
 * @param {Content} props.empty shown if there are no rows.
 * @param {(row: Row) => string} [props.rowClass]
 */
export function Table({caption, columns, rows, keyOf, empty, rowClass = () => ''}) {
  if (rows.length === 0) return html`<${Empty}>${empty}<//>`;
  return html`<div class="table-frame" role="region" aria-label=${caption} tabindex="0">
    <table role="table">
      <caption class="unseen">${caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          ${columns.map(
            (column) =>
              html`<th role="columnheader" scope="col" key=${column.name} class=${column.kind ?? ''}>
                ${column.head ?? column.name}
              </th>`,
          )}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${rows.map(
          (row) => html`<tr role="row" key=${keyOf(row)} class=${rowClass(row)}>
            ${columns.map(
              (column) =>
                html`<td role="cell" key=${column.name} data-name=${column.name} class=${column.kind ?? ''}>
                  ${column.of(row)}
                </td>`,
            )}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/**
 * Ways to further rows and back.
 *
 * @param {{isFirst: boolean, next: unknown, onFirst: () => void, onNext: () => void, labels?: [string, string]}} props
 */
export function Pager({isFirst, next, onFirst, onNext, labels: [first, further] = ['Newest', 'Older']}) {
  const isLast = next === null || next === undefined;
  if (isFirst && isLast) return null;
  return html`<nav class="pager" aria-label="Pages">
    <button class="small" disabled=${isFirst} onclick=${onFirst}>${first}</button>
    <button class="small" disabled=${isLast} onclick=${onNext}>${further}</button>
  </nav>`;
}

/** @param {{facts: (Fact | Falsy)[]}} props */
export function Facts({facts}) {
  return html`<dl class="facts">
    ${facts
      .filter((each) => !!each)
      .map(([name, value, kind]) => html`<div key=${name} class=${kind ?? ''}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

// ---- Texts from outside

/** @param {{text: string, what: string}} props */
export function Copy({text, what}) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text).then(
      () => setDone(true),
      () => {},
    );
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button class="small quiet" onclick=${copy} aria-label=${`Copy ${what}`}>
    ${done ? 'Copied' : 'Copy'}
  </button>`;
}

/**
 * A text over several lines, as it is; JSON is laid out.
 *
 * @param {{text: unknown, what: string, plain?: boolean}} props
 */
export function Text({text, what, plain = false}) {
  const shown = plain ? String(text) : pretty(text);
  return html`<div class="text">
    <pre tabindex="0" aria-label=${what}>${shown}</pre>
    <${Copy} text=${shown} what=${what} />
  </div>`;
}

/** @param {{lines?: string[], none?: string}} props */
export function Log({lines, none = 'Nothing was logged.'}) {
  if (!lines || lines.length === 0) return html`<p class="faint">${none}</p>`;
  return html`<${Text} text=${lines.join('\n')} what="log" plain />`;
}

/** @param {{children?: Content, title?: string}} props */
export function Mono({children, title}) {
  return html`<span class="mono" title=${title}>${children}</span>`;
}

/**
 * What failed: of a tick, or of a run.
 *
 * @param {{error?: {type?: string, error?: string, message?: string, cause?: string, stack?: string} | null}} props
 */
export function ErrorCard({error}) {
  if (!error) return null;
  return html`<section class="card error"><h2><${Badge} status="FAILURE" label=${error.type ?? error.error} /></h2>
    <p class="message">${error.message ?? error.cause}</p>
    ${error.stack && html`<${Text} text=${error.stack} what="stack" plain />`}</section>`;
}

// ---- Choices

/**
 * One of several, as buttons side by side.
 *
 * @param {{label: string, options: Option[], value: string, onChange: (value: string) => void}} props
 */
export function Choice({label, options, value, onChange}) {
  return html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(
      ([name, text]) => html`<button
        key=${name}
        type="button"
        aria-pressed=${String(name === value)}
        onclick=${() => onChange(name)}
      >
        ${text}
      </button>`,
    )}
  </div>`;
}

/**
 * Tabs, each an address, so that "back" leads to the one before.
 *
 * @param {{label: string, tabs: [name: string, text: string, href: string][], present: string}} props
 */
export function Tabs({label, tabs, present}) {
  return html`<nav class="tabs" aria-label=${label}>${tabs.map(
    ([name, text, href]) => html`
    <a key=${name} href=${href} aria-current=${name === present ? 'page' : undefined}>${text}</a>`,
  )}</nav>`;
}

// ---- What was done, in one line at the foot of the page

/** @typedef {{text: string, status: string, at: number}} Message */

/** @type {Set<(message: Message) => void>} */
const listeners = new Set();

/**
 * Show what was done, or that it failed.
 *
 * @param {string} text
 * @param {string} [status]
 */
export function notify(text, status = 'SUCCESS') {
  listeners.forEach((listener) => listener({text, status, at: Date.now()}));
}

export function Toast() {
  const [toast, setToast] = useState(/** @type {Message | null} */ (null));
  useEffect(() => {
    listeners.add(setToast);
    return () => void listeners.delete(setToast);
  }, []);
  useEffect(() => {
    if (!toast) return undefined;
    const timer = setTimeout(() => setToast(null), toast.status === 'SUCCESS' ? 6000 : 15_000);
    return () => clearTimeout(timer);
  }, [toast]);
  return html`<div class="toast" role="status" aria-live="polite">
    ${
      toast &&
      html`<p class="toast-line">
        <${Shape} status=${toast.status} />
        ${toast.text}
        <button class="small quiet" onclick=${() => setToast(null)}>Dismiss</button>
      </p>`
    }
  </div>`;
}

/** Returns {busy, run}: `run` executes an action and shows its failure. */
export function useAction() {
  const [busy, setBusy] = useState(false);
  const run = useCallback(async (/** @type {() => Promise<void>} */ action) => {
    setBusy(true);
    try {
      await action();
    } catch (error) {
      notify(error.message, 'FAILURE');
    } finally {
      setBusy(false);
    }
  }, []);
  return {busy, run};
}
