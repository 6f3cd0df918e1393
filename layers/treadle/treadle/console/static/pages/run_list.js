// Runs as a list, with filters and pages.

import {html, useEffect, useRef, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {useDeployment} from '../deployment.js';
import {localMinute, serverNow} from '../format.js';
import {useLive} from '../live.js';
import {backfillAddress, replaceQuery, runAddress, sensorAddress} from '../router.js';
import {Badge, Choice, Elapsed, Loaded, Page, Pager, Table, Time} from '../components.js';
import {CancelShown} from './cancel_shown.js';
import {poolLink} from './pools.js';

const PAGE = 25,
  DAY = 86_400_000,
  PAUSE = 400;
/** @type {Option[]} */
const STATUSES = [
  ['', 'All'],
  ['QUEUED', 'Queued'],
  ['STARTING,STARTED,CANCELING', 'In progress'],
  ['SUCCESS', 'Success'],
  ['FAILURE', 'Failure'],
  ['CANCELED', 'Canceled'],
];
const SPAN = 'span';
/** @type {Option[]} */
const AGES = [
  ['', 'Any time'],
  ['1h', 'Last hour'],
  ['1d', 'Last day'],
  ['1w', 'Last week'],
  [SPAN, 'From … until'],
];

/**
 * The filters that an address has, without the page.
 *
 * @param {Query} query
 */
const filtersOf = ({status, since, until, find}) => ({status, since, until, find});

/** @param {{query: Query}} props */
export function Runs({query}) {
  const {sensors} = useDeployment();
  const jobs = [...new Set(sensors.flatMap((sensor) => sensor.jobs ?? []))].sort();
  const {sensor, job} = query;
  const at = ['runs'];
  const select = (
    /** @type {string} */ name,
    /** @type {string[]} */ options,
    /** @type {string | undefined} */ value,
  ) => html`<label class="field">
    <span>${name}</span>
    <select
      value=${value ?? ''}
      onchange=${(event) => replaceQuery(at, {...filtersOf(query), [name.toLowerCase()]: event.target.value})}
    >
      <option value="" selected=${!value}>any</option>
      ${options.map((each) => html`<option key=${each} value=${each} selected=${each === value}>${each}</option>`)}
    </select>
  </label>`;
  return html`<${Page} title="Runs">
    <div class="toolbar">
      ${select('Job', jobs, job)}
      ${select(
        'Sensor',
        sensors.map((each) => each.name),
        sensor,
      )}
    </div>
    <${RunList} fixed=${{sensor, job}} query=${query} at=${at} showsSensor />
    ${
      !sensor &&
      !job &&
      html`<p class="faint">The newest runs of all jobs. Choose a job or a sensor to see older ones.</p>`
    }
  <//>`;
}

/** @param {{fixed: {sensor?: string, job?: string}, query: Query, at: string[], showsSensor?: boolean}} props */
export function RunList({fixed, query, at, showsSensor = false}) {
  const filters = filtersOf(query);
  const parameters = {...fixed, ...filters, before: query.before, limit: PAGE};
  // A search for a text may read many records.
  const every = query.before ? 0 : query.find ? 20_000 : 4000;
  const page = useLive((signal) => api.runs(parameters, signal), every, ['runs', parameters]);
  const turn = (/** @type {Query} */ change) =>
    replaceQuery(at, {...(at[0] === 'runs' ? fixed : {tab: 'runs'}), ...filters, ...change});
  return html`<section class="card" aria-label="Runs">
    <div class="toolbar">
      <${Choice}
        label="Runs with status"
        options=${STATUSES}
        value=${query.status ?? ''}
        onChange=${(status) => turn({status})}
      />
      ${page.data && html`<${CancelShown} runs=${page.data.runs} done=${page.refresh} />`}
    </div>
    <div class="toolbar">
      <${Find} value=${query.find ?? ''} onChange=${(find) => turn({find})} />
      <${Created} query=${query} onChange=${turn} />
    </div>
    ${isSpan(query) && html`<${Span} query=${query} onChange=${turn} />`}
    <${Loaded} of=${page} what="runs">
      ${({runs, next, searched_since: since}) => html`
        <${RunRows}
          runs=${runs}
          empty=${html`<p>${nothing(query, Boolean(next))}</p>`}
          showsSensor=${showsSensor}
        />
        ${
          since !== null &&
          html`<p class="faint">
            Only runs since <${Time} at=${since} /> were searched. Choose a job, a sensor or an earlier time to search
            older ones.
          </p>`
        }
        <${Pager}
          isFirst=${!query.before}
          next=${next}
          onFirst=${() => turn({})}
          onNext=${() => turn({before: next})}
        />
      `}
    <//>
  </section>`;
}

/**
 * Why a page of runs is empty.
 *
 * @param {Query} query
 * @param {boolean} hasOlder
 */
function nothing(query, hasOlder) {
  if (hasOlder) return 'None among the last thousand runs. “Older” searches earlier ones.';
  return Object.values(filtersOf(query)).some(Boolean) || query.before
    ? 'No run matches. Choose “All” and “Any time”, and clear the text, to see the others.'
    : 'No runs yet. A run appears here as soon as a tick has requested it.';
}

/**
 * The text that runs are searched for, once nothing more is typed.
 *
 * @param {{value: string, onChange: (text: string) => void}} props
 */
function Find({value, onChange}) {
  const [text, setText] = useState(value);
  const latest = useRef({value, onChange});
  latest.current = {value, onChange};
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    const timer = setTimeout(() => {
      if (text.trim() !== latest.current.value) latest.current.onChange(text.trim());
    }, PAUSE);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<label class="field grow">
    <span class="unseen">Find runs</span>
    <input
      type="search"
      maxlength="200"
      placeholder="Find by run key, error, job, id …"
      value=${text}
      oninput=${(event) => setText(event.target.value)}
    />
  </label>`;
}

/**
 * Whether the runs of a span between two times are shown, and not those of an age.
 *
 * @param {Query} query
 */
const isSpan = ({since, until}) => Boolean(until) || !AGES.some(([age]) => age === (since ?? ''));

/**
 * When runs were created: an age, or a span.
 *
 * @param {{query: Query, onChange: (change: Query) => void}} props
 */
function Created({query, onChange}) {
  const choose = (/** @type {string} */ age) =>
    onChange({since: age === SPAN ? minuteOf(serverNow() - DAY) : age, until: undefined});
  const value = isSpan(query) ? SPAN : (query.since ?? '');
  return html`<${Choice} label="Created" options=${AGES} value=${value} onChange=${choose} />`;
}

/** @param {{query: Query, onChange: (change: Query) => void}} props */
function Span({query, onChange}) {
  const time = (/** @type {'since' | 'until'} */ name, /** @type {string} */ label) =>
    html`<label class="field">
      <span>${label}</span>
      <input
        type="datetime-local"
        value=${localMinute(query[name] ?? '')}
        onchange=${(/** @type {any} */ event) => onChange({[name]: minuteOf(event.target.value)})}
      />
    </label>`;
  return html`<div class="toolbar">${time('since', 'From')} ${time('until', 'Until')}</div>`;
}

/**
 * A time as an address has it, to the minute; "" if it is none.
 *
 * @param {number | string} at
 */
function minuteOf(at) {
  return at === '' ? '' : `${new Date(at).toISOString().slice(0, 16)}Z`;
}

/** @param {{runs: Api.RunOutline[], empty: Content, showsSensor?: boolean}} props */
export function RunRows({runs, empty, showsSensor = false}) {
  /** @type {(Column<Api.RunOutline> | false)[]} */
  const columns = [
    {
      name: 'Run',
      kind: 'main',
      of: (run) =>
        html`
          <a href=${runAddress(run.run_id)} class="mono">${run.run_id.slice(0, 8)}</a>
          ${run.attempt > 1 && html`<small class="faint"> attempt ${run.attempt}</small>`}
        `,
    },
    {
      name: 'Status',
      of: (run) => html`
        <${Badge} status=${run.status} title=${run.failure?.cause ?? ''} />
        ${run.waiting && html` <small class="faint">waits for ${poolLink(run.waiting.pool)}</small>`}
        ${
          run.failure &&
          html` <small class="faint clip" title=${run.failure.cause ?? ''}
            >${run.failure.error}: ${run.failure.cause}</small
          >`
        }
      `,
    },
    {name: 'Job', of: (run) => run.job},
    showsSensor && {
      name: 'Sensor',
      of: (run) =>
        run.sensor
          ? html`<a href=${sensorAddress(run.sensor)}>${run.sensor}</a>`
          : (backfillLink(run) ?? html`<span class="faint">observed</span>`),
    },
    {
      name: 'Run key',
      of: (run) => html`<span class="mono clip" title=${run.run_key ?? ''}>${run.run_key ?? '–'}</span>`,
    },
    {name: 'Created', of: (run) => html`<${Time} at=${run.created_at} />`},
    {name: 'Took', kind: 'number', of: (run) => html`<${Elapsed} from=${run.started_at} to=${run.ended_at} />`},
  ];
  return html`<${Table}
    caption="Runs"
    columns=${columns.filter(Boolean)}
    rows=${runs}
    keyOf=${(run) => run.run_id}
    empty=${empty}
  />`;
}

/**
 * A link to the backfill that requested a run; null if none did.
 *
 * @param {{sensor: string, tick_id: string}} run
 */
export function backfillLink(run) {
  const [kind, name] = run.tick_id.split('/');
  return !run.sensor && kind === 'backfill' ? html`<a href=${backfillAddress(name)}>backfill ${name}</a>` : null;
}
