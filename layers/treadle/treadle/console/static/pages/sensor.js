// One sensor: how it stands, what it did, and what can be done with it.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {NO_TICKS, doesTick, kindLabel, problemLabel, useForbidden} from '../deployment.js';
import {count, duration, minimalCursor, serverNow} from '../format.js';
import {useLive} from '../live.js';
import {address, sensorAddress} from '../router.js';
import {Badge, Choice, Facts, Loaded, Page, Table, Tabs, Time, notify, useAction} from '../components.js';
import {Switch} from '../switch.js';
import {Timeline, WINDOWS} from '../timeline.js';
import {CursorDialog} from './cursor.js';
import {LastTick} from './overview.js';
import {PreviewDialog} from './preview.js';
import {RunList} from './run_list.js';
import {TickList, useTicks} from './ticks.js';

/** @param {{name: string, query: Query}} props */
export function Sensor({name, query}) {
  const sensor = useLive((signal) => api.oneSensor(name, signal), 4000, ['sensor', name]);
  const [dialog, setDialog] = useState(/** @type {string | null} */ (null));
  const close = () => setDialog(null);
  const changed = (/** @type {Api.Sensor} */ view) => sensor.replace({edits: [], ...sensor.data, ...view});
  return html`<${Page}
    title=${name}
    above=${html`<a href=${address(['sensors'])}>Sensors</a>`}
    actions=${
      sensor.data && html`<${Actions} sensor=${sensor.data} done=${changed} onTest=${() => setDialog('test')} />`
    }
  >
    <${Loaded} of=${sensor} what=${`sensor ${name}`}>
      ${(/** @type {Api.SensorDetail} */ found) => html`
        <p class="lead">${found.description}</p>
        ${
          found.paused &&
          html`<div class="notice warn">
            <${Badge} status="PAUSED" />
            <p>${found.paused} Start it to let it tick again.</p>
          </div>`
        }
        ${(found.problems ?? []).map(
          (each) =>
            html`<div key=${each.kind} class=${`notice ${each.kind === 'UNCHECKED' ? 'warn' : 'bad'}`}>
              <${Badge} status=${each.kind === 'UNCHECKED' ? 'warning' : 'FAILURE'} label=${problemLabel(each)} />
              <p>${each.message} <span class="advice">${each.advice}</span></p>
            </div>`,
        )}
        <${About} sensor=${found} onCursor=${() => setDialog('cursor')} />
        <${History} sensor=${found} query=${query} />
        ${dialog === 'cursor' && html`<${CursorDialog} sensor=${found} onClose=${close} done=${changed} />`}
        ${dialog === 'test' && html`<${PreviewDialog} sensor=${found} onClose=${close} done=${sensor.refresh} />`}
      `}
    <//>
  <//>`;
}

/** @param {{sensor: Api.Sensor, done: (sensor: Api.Sensor) => void, onTest: () => void}} props */
function Actions({sensor, done, onTest}) {
  const forbidden = useForbidden();
  const {busy, run} = useAction();
  const canReset = sensor.stored_status !== 'DECLARED_IN_CODE';
  const reset = () =>
    run(async () => {
      done(await api.change(sensor.name, 'reset'));
      notify(
        `${sensor.name} is reset to the status that its code or deployment declares ` +
          `(default: ${sensor.default_status}).`,
      );
    });
  const isLoop = (sensor.problems ?? []).some((each) => each.kind === 'LOOP');
  const release = () =>
    run(async () => {
      done(await api.releaseLoop(sensor.name));
      notify(`${sensor.name} is released: what is held starts within about a minute.`);
    });
  const tick = () =>
    run(async () => {
      const result = await api.tickNow(sensor.name);
      notify(
        `Tick of ${sensor.name}: ${result.decision}. ${result.reason ?? ''}`,
        result.decision === 'FAILURE' ? 'FAILURE' : 'SUCCESS',
      );
      done(await api.oneSensor(sensor.name));
    });
  return html`
    <${Switch} sensor=${sensor} done=${done} />
    ${
      isLoop &&
      html`<button
        disabled=${busy || forbidden !== null}
        title=${forbidden ?? 'Start what is held; runs from before are no evidence any more'}
        onclick=${release}
      >
        Release
      </button>`
    }
    <button
      disabled=${forbidden !== null}
      title=${forbidden ?? 'See what it would do, and commit nothing'}
      onclick=${onTest}
    >
      Test …
    </button>
    <button
      disabled=${busy || forbidden !== null || !doesTick(sensor)}
      title=${forbidden ?? (doesTick(sensor) ? 'Evaluate at once, for real' : NO_TICKS)}
      onclick=${tick}
    >
      Tick now
    </button>
    <button
      class="quiet"
      disabled=${busy || forbidden !== null || !canReset}
      title=${forbidden ?? 'Reset to the status that its code or deployment declares'}
      onclick=${reset}
    >
      Reset
    </button>
  `;
}

/** @param {Api.Sensor} sensor */
function interval(sensor) {
  if (sensor.interval_seconds) return duration(sensor.interval_seconds * 1000);
  return sensor.kind !== 'unknown' && doesTick(sensor) ? 'each minute' : 'on each event';
}

/** @param {{sensor: Api.Sensor, onCursor: () => void}} props */
function About({sensor, onCursor}) {
  const forbidden = useForbidden();
  const cursor = html`<span class="cursor-line">
    <span class="mono clip" title=${sensor.cursor ?? ''}>${minimalCursor(sensor.cursor)}</span>
    <button
      class="small"
      disabled=${forbidden !== null}
      title=${forbidden ?? ''}
      onclick=${onCursor}
      aria-label="Edit cursor"
    >
      Edit
    </button>
  </span>`;
  return html`<${Facts}
    facts=${[
      ['Kind', kindLabel(sensor.kind)],
      [
        'Starts',
        sensor.jobs?.length
          ? sensor.jobs.map(
              (job, index) => html`${index ? ', ' : ''}<a key=${job} href=${address(['runs'], {job})}>${job}</a>`,
            )
          : 'no job',
      ],
      ['Interval', interval(sensor)],
      Boolean(sensor.hours) && ['Hours', sensor.hours],
      Boolean(sensor.outside_until) && ['Outside its hours until', html`<${Time} at=${sensor.outside_until} />`],
      Boolean(sensor.endpoint) && ['Endpoint', html`<span class="mono">${sensor.endpoint}</span>`],
      Boolean(sensor.stream) && ['Stream', html`<span class="mono">${sensor.stream}</span>`],
      ['Default', html`<${Badge} status=${sensor.default_status} />`],
      ['Last tick', html`<${LastTick} tick=${sensor.last_tick} />`],
      [
        'Next tick',
        html`<${Time} at=${sensor.next_tick_at} ago none=${sensor.status === 'RUNNING' ? 'on event' : 'none'} />`,
      ],
      [
        'Lag',
        sensor.lag_seconds === null || sensor.lag_seconds === undefined ? '–' : duration(sensor.lag_seconds * 1000),
      ],
      [
        'Runs in 24 h',
        html`
          ${sensor.runs_24h}
          ${sensor.failures_24h ? html`, <span class="bad-text">${sensor.failures_24h} failed</span>` : ''}
        `,
      ],
      (sensor.resume_at ?? 0) > serverNow() && ['Backs off until', html`<${Time} at=${sensor.resume_at} />`],
      sensor.failure_streak > 0 && [
        'Failing',
        html`<span class="bad-text">${count(sensor.failure_streak, 'tick')} in a row</span>`,
      ],
      ['Cursor', cursor, 'wide'],
    ]}
  />`;
}

/** @param {{sensor: Api.SensorDetail, query: Query}} props */
function History({sensor, query}) {
  const [length, setLength] = useState(matchMedia('(max-width: 760px)').matches ? '15m' : '1h');
  const [shown, setShown] = useState(/** @type {import('../timeline.js').Range | null} */ (null));
  const ticks = useTicks(sensor.name, WINDOWS[length]);
  const tab = ['runs', 'edits'].find((each) => each === query.tab) ?? 'ticks';
  const tabs = [
    ['ticks', 'Ticks'],
    ['runs', 'Runs'],
    ['edits', 'Edits'],
  ].map(([each, text]) => [each, text, sensorAddress(sensor.name, each === 'ticks' ? {} : {tab: each})]);
  return html`
    <section class="card" aria-labelledby="timeline-title">
      <header class="card-head">
        <h2 id="timeline-title">Timeline</h2>
        ${shown && html`<button class="small" onclick=${() => setShown(null)}>Back to now</button>`}
        <${Choice}
          label="Length of the timeline"
          options=${Object.keys(WINDOWS).map((each) => [each, each])}
          value=${shown ? '' : length}
          onChange=${(each) => {
            setLength(each);
            setShown(null);
          }}
        />
      </header>
      <${Loaded} of=${ticks} what="ticks">
        ${(found) => html`<${Timeline} ticks=${found} shown=${shown} length=${WINDOWS[length]} onLook=${setShown} />`}
      <//>
    </section>
    <${Tabs} label="About this sensor" tabs=${tabs} present=${tab} />
    ${tab === 'ticks' && html`<${TickList} sensor=${sensor.name} query=${query} newest=${sensor.last_tick?.tick_id} />`}
    ${
      tab === 'runs' &&
      html`<${RunList} fixed=${{sensor: sensor.name}} query=${query} at=${['sensors', sensor.name]} />`
    }
    ${tab === 'edits' && html`<${Edits} edits=${sensor.edits ?? []} />`}
  `;
}

/** @type {Record<string, string>} */
const EDITS = {
  start: 'Started',
  stop: 'Stopped',
  reset: 'Reset',
  set_cursor: 'Set the cursor',
  release: 'Released a key',
  release_loop: 'Released the sensor, which was held as a loop',
  adopt: 'Gave to a project',
  adopt_fresh: 'Gave to a project, cursor cleared',
};

/** @param {{edits: Api.Edit[]}} props */
function Edits({edits}) {
  /** @type {Column<Api.Edit>[]} */
  const columns = [
    {name: 'When', of: (each) => html`<${Time} at=${each.at} />`},
    {name: 'Who', kind: 'main', of: (each) => each.by},
    {name: 'What', of: (each) => EDITS[each.action] ?? each.action},
    {
      name: 'Before',
      of: (each) => html`<span class="mono clip" title=${each.before ?? ''}>${minimalCursor(each.before)}</span>`,
    },
    {
      name: 'After',
      of: (each) => html`<span class="mono clip" title=${each.after ?? ''}>${minimalCursor(each.after)}</span>`,
    },
  ];
  return html`<${Table}
    caption="Edits"
    columns=${columns}
    rows=${edits}
    keyOf=${(each) => each.epoch}
    empty=${html`<p>
      Nobody has edited this sensor. Starts, stops and new cursors are recorded here, with who made them.
    </p>`}
  />`;
}
