// Sending a test event to the sensors of `treadle dev`.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {parseJson} from '../format.js';
import {useLive} from '../live.js';
import {Choice, Loaded, Page, Problem, notify} from '../components.js';
import {useProgress} from '../dialogs.js';

/** @type {Option[]} */
const KINDS = [
  ['object', 'An object'],
  ['run', 'A run of a job'],
  ['asset', 'An asset'],
  ['deadline', 'A deadline'],
  ['event', 'Any event'],
];

/**
 * @typedef {{kind: string, bucket: string, key: string, content: string, job: string, status: string, asset: string,
 *   partition: string, metadata: string, sensor: string, at: string, event: string}} Given
 */

export function SendEvent() {
  const targets = useLive((signal) => api.eventTargets(signal), 0, ['test-events']);
  return html`<${Page} title="Send an event">
    <${Loaded} of=${targets} what="what an event may name">
      ${(/** @type {api.EventTargets} */ found) => html`<${Form} targets=${found} />`}
    <//>
  <//>`;
}

/** @param {{targets: api.EventTargets}} props */
function Form({targets}) {
  const [given, setGiven] = useState({
    kind: 'object',
    bucket: targets.buckets[0] ?? '',
    key: '',
    content: '',
    job: targets.jobs[0] ?? '',
    status: 'SUCCESS',
    asset: '',
    partition: '',
    metadata: '{}',
    sensor: targets.deadlines[0] ?? '',
    at: '',
    event: '{}',
  });
  const {busy, error, run} = useProgress();
  const change = (/** @type {Partial<Given>} */ part) => setGiven({...given, ...part});
  const send = () =>
    run(async () => {
      const {sent} = await api.sendEvent(bodyOf(given));
      notify(sent);
      return null;
    });
  return html`<form
    class="card"
    onsubmit=${(/** @type {Event} */ event) => {
      event.preventDefault();
      send();
    }}
  >
    <p class="faint">The sensors that take such events evaluate it, and start their jobs.</p>
    <${Choice}
      label="Kind of event"
      options=${KINDS}
      value=${given.kind}
      onChange=${(/** @type {string} */ kind) => change({kind})}
    />
    <${Fields} given=${given} change=${change} targets=${targets} />
    ${error && html`<${Problem} error=${error} />`}
    <footer><button class="primary" disabled=${busy}>${busy ? 'Sending …' : 'Send'}</button></footer>
  </form>`;
}

/** @param {Given} given */
function bodyOf({kind, bucket, key, content, job, status, asset, partition, metadata, sensor, at, event}) {
  if (kind === 'object') return {object: {bucket, key, content}};
  if (kind === 'run') return {run: {job, status}};
  if (kind === 'asset') return {asset: {asset_key: asset, partition, metadata: objectOf(metadata, 'The metadata is')}};
  if (kind === 'deadline') return {deadline: {sensor, at: new Date(at).toISOString()}};
  return {event: objectOf(event, 'The event is')};
}

/**
 * @param {string} text
 * @param {string} what
 */
function objectOf(text, what) {
  const value = parseJson(text);
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Error(`${what} not a JSON object: correct it, and send it again.`);
  return value;
}

/** @param {{given: Given, change: (part: Partial<Given>) => void, targets: api.EventTargets}} props */
function Fields({given, change, targets}) {
  const text = (/** @type {keyof Given} */ name, /** @type {string} */ label, required = true) =>
    html`<label class="field">
      <span>${label}</span>
      <input
        class="mono"
        required=${required}
        value=${given[name]}
        oninput=${(/** @type {any} */ event) => change({[name]: event.target.value})}
      />
    </label>`;
  const area = (/** @type {keyof Given} */ name, /** @type {string} */ label) =>
    html`<label class="field">
      <span>${label}</span>
      <textarea
        class="mono"
        rows="5"
        oninput=${(/** @type {any} */ event) => change({[name]: event.target.value})}
        value=${given[name]}
      ></textarea>
    </label>`;
  const select = (/** @type {keyof Given} */ name, /** @type {string} */ label, /** @type {string[]} */ values) =>
    html`<label class="field">
      <span>${label}</span>
      <select
        required
        value=${given[name]}
        onchange=${(/** @type {any} */ event) => change({[name]: event.target.value})}
      >
        ${values.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}
      </select>
    </label>`;
  if (given.kind === 'object')
    return html`${select('bucket', 'Bucket', targets.buckets)} ${text('key', 'Key')} ${area('content', 'Content')}`;
  if (given.kind === 'run')
    return html`${select('job', 'Job', targets.jobs)} ${select('status', 'Ends with', ['SUCCESS', 'FAILURE'])}`;
  if (given.kind === 'asset')
    return html`${text('asset', 'Key, its parts joined by /')} ${text('partition', 'Partition', false)}
    ${area('metadata', 'Metadata, as JSON')}`;
  if (given.kind === 'deadline')
    return html`${select('sensor', 'Sensor', targets.deadlines)}
      <label class="field">
        <span>Deadline, in this browser's time zone</span>
        <input
          required
          type="datetime-local"
          value=${given.at}
          oninput=${(/** @type {any} */ event) => change({at: event.target.value})}
        />
      </label>`;
  return area('event', 'Event, as EventBridge delivers it, or a record of a stream, as Lambda receives it');
}
