// Trying a sensor out: what it would do with a cursor or an event; then doing it.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {NO_TICKS, doesTick, useForbidden} from '../deployment.js';
import {count, parseJson, pretty} from '../format.js';
import {tickAddress} from '../router.js';
import {Badge, Choice, ErrorCard, Log, Problem, notify} from '../components.js';
import {Dialog, useProgress} from '../dialogs.js';
import {Difference} from './cursor.js';
import {Requests} from './requests.js';

/** @type {Option[]} */
const [WITH_CURSOR, WITH_OBJECT, WITH_EVENT, WITH_RUN, WITH_ASSET, WITH_DEADLINE] = [
  ['cursor', 'A cursor'],
  ['object', 'An object'],
  ['event', 'An event'],
  ['run', 'A run'],
  ['asset', 'An asset'],
  ['deadline', 'A deadline'],
];

/**
 * What the sensors of a kind can be tried with; the first is proposed.
 *
 * @type {Record<string, Option[]>}
 */
const WAYS = {
  s3: [WITH_OBJECT, WITH_CURSOR, WITH_EVENT],
  run_status: [WITH_RUN, WITH_EVENT],
  asset: [WITH_ASSET, WITH_EVENT],
  deadline: [WITH_DEADLINE, WITH_EVENT],
  event: [WITH_EVENT],
  queue: [WITH_EVENT],
  stream: [WITH_EVENT],
  webhook: [WITH_EVENT],
};

/**
 * Of what is named in one line: its label, and an example.
 *
 * @type {Record<string, [label: string, example: string]>}
 */
const NAMED = {
  object: ["Key of an object in the sensor's bucket", 'incoming/2026/cities.csv'],
  run: ['Id of a run whose last status it receives', '123e4567-e89b-12d3-a456-426614174000'],
  asset: ['Key of an asset whose newest materialization it receives', 'warehouse/orders'],
};

/** @typedef {{way: string, cursor: string, isNone: boolean, name: string, deadline: string, event: string}} Given */

/** @param {{sensor: Api.Sensor, onClose: () => void, done: () => void}} props */
export function PreviewDialog({sensor, onClose, done}) {
  const ways = WAYS[sensor.kind] ?? [WITH_CURSOR, WITH_EVENT];
  const [given, setGiven] = useState({
    way: ways[0][0],
    cursor: pretty(sensor.cursor),
    isNone: sensor.cursor === null || sensor.cursor === undefined,
    name: '',
    deadline: '',
    event: '{}',
  });
  const {busy, error, result, run, reset} = useProgress(/** @type {Api.Preview | null} */ (null));
  const evaluate = () => run(async () => api.preview(sensor.name, bodyOf(given, sensor)));
  return html`<${Dialog} title=${`Test ${sensor.name}`} onClose=${onClose} wide>
    ${
      result
        ? html`<${Result}
          sensor=${sensor}
          result=${result}
          onAgain=${reset}
          onClose=${onClose}
          done=${done}
        />`
        : html`<form
          onsubmit=${(event) => {
            event.preventDefault();
            evaluate();
          }}
        >
          <p class="faint">
            It is evaluated for real, with its own permissions, and nothing is committed: no run, no cursor, no tick.
          </p>
          <${Choice}
            label="Test with"
            options=${ways}
            value=${given.way}
            onChange=${(way) => setGiven({...given, way})}
          />
          <${Input} given=${given} change=${(part) => setGiven({...given, ...part})} />
          ${error && html`<${Problem} error=${error} />`}
          <footer>
            <button type="button" onclick=${onClose}>Close</button>
            <button class="primary" disabled=${busy}>${busy ? 'Evaluating …' : 'Evaluate'}</button>
          </footer>
        </form>`
    }
  <//>`;
}

/**
 * @param {Given} given
 * @param {Api.Sensor} sensor
 */
function bodyOf({way, cursor, isNone, name, deadline, event}, sensor) {
  if (way === 'object') return {object: {key: name}};
  if (way === 'run') return {run_id: name.trim()};
  if (way === 'asset') return {asset_key: name};
  if (way === 'deadline') return {deadline: new Date(deadline).toISOString()};
  if (way === 'event') {
    const value = parseJson(event);
    if (value === null || typeof value !== 'object')
      throw new Error('The event is not a JSON object: correct it, and evaluate again.');
    return {event: value};
  }
  if (isNone) return {cursor: null};
  // What is stored is handed over exactly as it is stored, not as it was laid out for reading.
  return {cursor: cursor === pretty(sensor.cursor) ? (sensor.cursor ?? cursor) : cursor};
}

/** @param {{given: Given, change: (part: Partial<Given>) => void}} props */
function Input({given, change}) {
  if (NAMED[given.way]) {
    const [label, example] = NAMED[given.way];
    return html`<label class="field">
      <span>${label}</span>
      <input
        required
        class="mono"
        placeholder=${example}
        value=${given.name}
        oninput=${(event) => change({name: event.target.value})}
      />
    </label>`;
  }
  if (given.way === 'deadline') {
    return html`<label class="field">
      <span>Deadline, in this browser's time zone</span>
      <input
        required
        type="datetime-local"
        value=${given.deadline}
        oninput=${(event) => change({deadline: event.target.value})}
      />
    </label>`;
  }
  if (given.way === 'event') {
    return html`<label class="field">
      <span>Event, as EventBridge sends it</span>
      <textarea
        rows="10"
        class="mono"
        spellcheck=${false}
        value=${given.event}
        oninput=${(event) => change({event: event.target.value})}
      ></textarea>
    </label>`;
  }
  return html`
    <label class="field">
      <span>Cursor</span>
      <textarea
        rows="7"
        class="mono"
        spellcheck=${false}
        disabled=${given.isNone}
        value=${given.cursor}
        oninput=${(event) => change({cursor: event.target.value})}
      ></textarea>
    </label>
    <label class="check">
      <input type="checkbox" checked=${given.isNone} onchange=${() => change({isNone: !given.isNone})} /> No cursor, as
      at the first tick
    </label>
  `;
}

/** @param {Api.PreviewedTick} tick */
function headline(tick) {
  if (tick.status === 'FAILURE') return 'Failed';
  const requested = tick.requests?.length ?? 0;
  if (requested) return count(requested, 'run request');
  if (tick.asset_events?.length) return count(tick.asset_events.length, 'asset event');
  return tick.dynamic_partitions_request_results?.length ? 'Changes partitions' : 'Skipped';
}

/**
 * @param {object} props
 * @param {Api.Sensor} props.sensor
 * @param {Api.Preview} props.result
 * @param {() => void} props.onAgain
 * @param {() => void} props.onClose
 * @param {() => void} props.done
 */
function Result({sensor, result, onAgain, onClose, done}) {
  const {tick, cursor_before: before, cursor_after: after} = result;
  const failed = tick.status === 'FAILURE';
  return html`
    <div role="status">
      <h3 class="result"><${Badge} status=${tick.status} label=${headline(tick)} /></h3>
      ${tick.reason && html`<p>${tick.reason}</p>`}
    </div>
    <${ErrorCard} error=${tick.error} />
    <${Requests} tick=${tick} isPreview />
    ${!failed && html`<h3>Cursor</h3><${Difference} before=${before ?? null} after=${after ?? null} />`}
    <h3>Log</h3>
    <${Log} lines=${tick.log} />
    <${Actions}
      sensor=${sensor}
      after=${after ?? null}
      failed=${failed}
      onAgain=${onAgain}
      onClose=${onClose}
      done=${done}
    />
  `;
}

/**
 * What can be done after a preview: a tick for real, or the cursor alone.
 *
 * @param {object} props
 * @param {Api.Sensor} props.sensor
 * @param {string | null} props.after
 * @param {boolean} props.failed
 * @param {() => void} props.onAgain
 * @param {() => void} props.onClose
 * @param {() => void} props.done
 */
function Actions({sensor, after, failed, onAgain, onClose, done}) {
  const forbidden = useForbidden();
  const {busy, error, result, run} = useProgress(/** @type {Api.Response<'tick_now'> | null} */ (null));
  const tick = () =>
    run(async () => {
      const ticked = await api.tickNow(sensor.name);
      done();
      return ticked;
    });
  const move = () =>
    run(async () => {
      await api.setCursor(sensor.name, after, sensor.cursor_epoch);
      notify(`${sensor.name} has the cursor of this test.`);
      onClose();
      done();
      return null;
    });
  return html`
    ${error && html`<${Problem} error=${error} />`}
    ${
      result &&
      html`<div class="notice quiet" role="status">
        <p><b>${result.decision}</b> ${result.reason ?? ''}</p>
        ${result.tick_id && html`<a href=${tickAddress(sensor.name, result.tick_id)}>See the tick</a>`}
      </div>`
    }
    <footer>
      <button onclick=${onAgain}>Try again</button>
      <button
        disabled=${busy || failed || forbidden !== null || after === (sensor.cursor ?? null)}
        title=${forbidden ?? 'Start nothing; the next tick begins where this one would have ended'}
        onclick=${move}
      >
        Set this cursor only
      </button>
      <button
        class="primary"
        disabled=${busy || forbidden !== null || !doesTick(sensor)}
        title=${
          forbidden ??
          (doesTick(sensor)
            ? 'Evaluate once more from the stored cursor, start the runs and move the cursor'
            : NO_TICKS)
        }
        onclick=${tick}
      >
        Tick now
      </button>
    </footer>
  `;
}
