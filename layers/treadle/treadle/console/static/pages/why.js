// "Why did … not run?": of an object, a run key, an event, a run, or a time.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {useDeployment} from '../deployment.js';
import {useLive} from '../live.js';
import {navigate} from '../router.js';
import {Choice, Empty, Loaded, Page} from '../components.js';
import {Explanation} from './explanation.js';

/** @typedef {'object' | 'key' | 'event' | 'run' | 'at'} Subject */

/** @type {Record<Subject, [label: string, example: string]>} */
const SUBJECTS = {
  object: ['Object', 's3://my-bucket/incoming/cities.csv'],
  key: ['Run key', 'the run key of the request'],
  event: ['Event', '17793124-05d4-b198-2fde-7ededc63b103'],
  run: ['Run', '123e4567-e89b-12d3-a456-426614174000'],
  at: ['Time', '2026-11-28T03:00:00Z, or 2h'],
};

/** Subjects that do not name their sensor. */
const OF_A_SENSOR = ['event', 'at'];

/**
 * A time as the API takes it: one without a zone is the viewer's own.
 *
 * @param {string} text
 */
export function momentOf(text) {
  const time = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(text) ? new Date(text.replace(' ', 'T')) : null;
  return time ? time.toISOString() : text;
}

/** @param {{query: Query}} props */
export function Why({query}) {
  const {sensors} = useDeployment();
  const subject = /** @type {Subject[]} */ (Object.keys(SUBJECTS)).find((each) => query[each]);
  const initial = subject ?? (query.text ? 'key' : 'object');
  const isComplete = Boolean(subject && (query.sensor || !OF_A_SENSOR.includes(subject)));
  return html`<${Page} title="Why did it not run?">
    <${Question} key=${JSON.stringify(query)} sensors=${sensors} query=${query} initial=${initial} />
    ${
      isComplete
        ? html`<${Answer} query=${query} />`
        : html`<${Empty}>
          <p>
            ${
              subject
                ? 'Choose a sensor, then ask.'
                : 'Name an object, a run key, an event, a run or a time to see its status in one sentence, ' +
                  'and every step that led there.'
            }
          </p>
        <//>`
    }
  <//>`;
}

/** @param {{sensors: Api.Sensor[], query: Query, initial: Subject}} props */
function Question({sensors, query, initial}) {
  const [subject, setSubject] = useState(initial);
  const [sensor, setSensor] = useState(query.sensor ?? (sensors.length === 1 ? sensors[0].name : ''));
  const [text, setText] = useState(query[initial] ?? query.text ?? '');
  const isOfOne = OF_A_SENSOR.includes(subject);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    navigate(['why'], {sensor, [subject]: text.trim()});
  };
  return html`<form class="card question" onsubmit=${submit}>
    <${Choice}
      label="What it is about"
      options=${Object.entries(SUBJECTS).map(([name, [words]]) => [name, words])}
      value=${subject}
      onChange=${setSubject}
    />
    <div class="toolbar">
      <label class="field">
        <span>Sensor</span>
        <select required=${isOfOne} value=${sensor} onchange=${(event) => setSensor(event.target.value)}>
          <option value="" selected=${!sensor}>${isOfOne ? 'choose a sensor' : 'any'}</option>
          ${sensors.map(
            (each) =>
              html`<option key=${each.name} value=${each.name} selected=${each.name === sensor}>${each.name}</option>`,
          )}
        </select>
      </label>
      <label class="field grow">
        <span>${SUBJECTS[subject][0]}</span>
        <input
          required
          class="mono"
          placeholder=${SUBJECTS[subject][1]}
          value=${text}
          oninput=${(event) => setText(event.target.value)}
        />
      </label>
      <button class="primary">Ask</button>
    </div>
  </form>`;
}

/** @param {{query: Query}} props */
function Answer({query}) {
  const explanation = useLive((signal) => api.why({...query, at: query.at && momentOf(query.at)}, signal), 0, [
    'why',
    query,
  ]);
  return html`<section class="card" aria-label="Answer" aria-live="polite">
    <${Loaded} of=${explanation} what="the explanation">${(found) => html`<${Explanation} explanation=${found} />`}<//>
  </section>`;
}
