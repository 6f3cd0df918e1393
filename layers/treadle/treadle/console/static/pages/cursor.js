// Editing a cursor: what is stored, what it becomes, and that somebody else was faster.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {difference, parseJson, pretty} from '../format.js';
import {Problem, notify} from '../components.js';
import {Dialog, useProgress} from '../dialogs.js';

/**
 * What changes, line by line; the sign distinguishes it, not the color alone.
 *
 * @param {{before: string | null, after: string | null}} props
 */
export function Difference({before, after}) {
  const [old, fresh] = [before, after].map((text) => (text === null || text === undefined ? '' : pretty(text)));
  if (old === fresh && (before === null) === (after === null)) return html`<p class="faint">Nothing changes.</p>`;
  return html`<pre class="diff" tabindex="0" aria-label="What changes">
    ${difference(old, fresh).map(
      (line, index) =>
        html`<span key=${index} class=${{'+': 'added', '-': 'removed', ' ': ''}[line.sign]}>
          ${line.sign} ${line.text}
          ${'\n'}
        </span>`,
    )}
  </pre>`;
}

/**
 * A JSON cursor is edited laid out, and kept as short as it was.
 *
 * @param {string} text
 * @param {string | null} like
 */
const compact = (text, like) => {
  const value = parseJson(text);
  const was = like === null || like === undefined ? undefined : parseJson(like);
  return value !== null && typeof value === 'object' && was !== null && typeof was === 'object'
    ? JSON.stringify(value)
    : text;
};

/** @param {{sensor: Api.Sensor, onClose: () => void, done: (sensor: Api.Sensor) => void}} props */
export function CursorDialog({sensor, onClose, done}) {
  // What was seen when the dialog was opened: what is stored may change meanwhile.
  const [seen, setSeen] = useState({cursor: sensor.cursor ?? null, epoch: sensor.cursor_epoch});
  const [text, setText] = useState(pretty(sensor.cursor));
  const [clears, setClears] = useState(false);
  const {busy, error, run} = useProgress();
  const next = clears ? null : compact(text, seen.cursor);
  const isJson = parseJson(seen.cursor ?? '') instanceof Object;
  const isBroken = isJson && !clears && parseJson(text) === undefined;

  const save = () =>
    run(async () => {
      done(await api.setCursor(sensor.name, next, seen.epoch));
      notify(next === null ? `${sensor.name} has no cursor now.` : `${sensor.name} has a new cursor.`);
      onClose();
    });
  const look = () =>
    run(async () => {
      const fresh = await api.oneSensor(sensor.name);
      setSeen({cursor: fresh.cursor ?? null, epoch: fresh.cursor_epoch});
    });
  return html`<${Dialog} title=${`Cursor of ${sensor.name}`} onClose=${onClose} wide>
    <p class="faint">The next tick reads this cursor. A tick in progress commits nothing after an edit.</p>
    <label class="field">
      <span>New cursor</span>
      <textarea
        rows="10"
        class="mono"
        spellcheck=${false}
        disabled=${clears}
        value=${text}
        oninput=${(event) => setText(event.target.value)}
      ></textarea>
    </label>
    <label class="check">
      <input type="checkbox" checked=${clears} onchange=${() => setClears(!clears)} /> No cursor: the sensor starts over
    </label>
    ${
      isBroken &&
      html`<p class="warn-text">The stored cursor is JSON, but this text is not. It would be stored as it is.</p>`
    }
    <h3>What changes</h3>
    <${Difference} before=${seen.cursor} after=${next} />
    ${
      error &&
      (error.status === 409
        ? html`<div class="notice warn" role="alert">
          <p>${error.message} Your text is still here: compare it with the stored cursor, then save again.</p>
          <button class="small" onclick=${look}>Compare with what is stored now</button>
        </div>`
        : html`<${Problem} error=${error} />`)
    }
    <footer>
      <button onclick=${onClose}>Keep as it is</button>
      <button class="primary" disabled=${busy || next === seen.cursor} onclick=${save}>Set cursor</button>
    </footer>
  <//>`;
}
