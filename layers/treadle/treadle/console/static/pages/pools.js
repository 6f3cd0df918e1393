// Concurrency pools: as a list, and one with the runs that hold its slots and those that wait.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {useForbidden} from '../deployment.js';
import {useLive} from '../live.js';
import {address, poolAddress, runAddress} from '../router.js';
import {Badge, Facts, Loaded, Page, Table, Time, notify} from '../components.js';
import {Confirm} from '../dialogs.js';

const MOST = 1000;
const SHOWN = 100;

/**
 * The limit as text; 0 is a pause.
 *
 * @param {Api.Pool} pool
 */
const limitOf = ({limit, is_paused, is_per_value, value}) => {
  if (limit === null) return 'none: no longer declared';
  return `${is_paused ? '0 (paused)' : limit}${is_per_value && value === null ? ' for each value' : ''}`;
};

/**
 * How many runs wait; the engine counts a thousand at most.
 *
 * @param {Api.Pool} pool
 */
const waitingOf = ({waiting}) => (waiting === MOST ? `${MOST} or more` : String(waiting));

/**
 * Whether a row stands only for the values of a pool, which have rows of their own.
 *
 * @param {Api.Pool} pool
 */
const isEmpty = ({is_per_value, value, held, waiting}) => is_per_value && value === null && held + waiting === 0;

/** @type {Column<Api.Pool>[]} */
const COLUMNS = [
  {
    name: 'Pool',
    kind: 'main',
    of: (each) => html`<a href=${poolAddress(each.name, each.value)}>${each.key}</a>`,
  },
  {
    name: 'Limit',
    of: (each) => html`
      ${limitOf(each)}
      ${each.is_limit_set && html`<small class="faint"> declared: ${each.declared_limit}</small>`}
      ${each.overlap !== 'QUEUE' && html`<small class="faint"> overlap ${each.overlap}</small>`}
    `,
  },
  {name: 'Held', kind: 'number', of: (each) => (isEmpty(each) ? '–' : each.held)},
  {name: 'Waiting', kind: 'number', of: (each) => (isEmpty(each) ? '–' : waitingOf(each))},
  {name: 'Oldest waits since', of: (each) => html`<${Time} at=${each.waiting_since} />`},
  {name: 'State', of: (each) => html`<${State} pool=${each} />`},
];

/**
 * What keeps it from starting runs, besides the runs in progress.
 *
 * @param {{pool: Api.Pool}} props
 */
function State({pool}) {
  const {is_paused, closed_until, in_doubt, beyond, not_canceled} = pool;
  if (!is_paused && closed_until === null && !in_doubt && !beyond && !not_canceled)
    return html`<span class="faint">open</span>`;
  return html`
    ${is_paused && html`<${Badge} status="PAUSED" /> `}
    ${closed_until !== null && html`<span class="warn-text">closed until <${Time} at=${closed_until} /></span> `}
    ${in_doubt > 0 && html`<span class="bad-text">${in_doubt} in doubt</span> `}
    ${not_canceled > 0 && html`<span class="bad-text">${not_canceled} not canceled</span> `}
    ${beyond > 0 && html`<span>${beyond} beyond the limit</span>`}
  `;
}

export function Pools() {
  const pools = useLive((signal) => api.pools(signal), 10_000, ['pools']);
  return html`<${Page} title="Pools">
    <p class="lead">
      A pool limits how many runs are in progress at a time. It is declared in the template of a project; the pool of a
      single job is <code>job:NAME</code>. Of a pool that has its limit for each value of a tag, the values are listed
      for which runs wait.
    </p>
    <${Loaded} of=${pools} what="pools">
      ${(found) => html`
        <${Table}
          caption="Pools"
          columns=${COLUMNS}
          rows=${found.pools}
          keyOf=${(each) => each.key}
          empty=${html`<p>No pools are declared.</p>`}
        />
      `}
    <//>
  <//>`;
}

/** @param {{name: string, value?: string}} props */
export function Pool({name, value}) {
  const parameters = {value, limit: SHOWN};
  const details = useLive((signal) => api.onePool(name, parameters, signal), 4000, ['pool', name, parameters]);
  return html`<${Page}
    title=${`Pool ${name}${value === undefined ? '' : `=${value}`}`}
    above=${html`
      <a href=${address(['pools'])}>Pools</a>
      ${value !== undefined && html` <a href=${poolAddress(name)}>${name}</a>`}
    `}
    actions=${details.data && html`<${Actions} pool=${details.data.pool} done=${details.refresh} />`}
  >
    <${Loaded} of=${details} what="the pool">
      ${(found) => html`<${PoolDetail} details=${found} done=${details.refresh} />`}
    <//>
  <//>`;
}

/** @param {{pool: Api.Pool, done: () => void}} props */
function Actions({pool, done}) {
  const forbidden = useForbidden();
  const [dialog, setDialog] = useState(/** @type {string | null} */ (null));
  const [limit, setLimit] = useState('');
  const {name, limit: present, declared_limit, is_limit_set, is_per_value} = pool;
  const close = () => setDialog(null);
  const open = (/** @type {string} */ which) => {
    setLimit(String(present));
    setDialog(which);
  };
  const execute = async (/** @type {() => Promise<Api.Response<'set_limit'>>} */ action) => {
    const {reason} = await action();
    notify(reason);
    done();
  };
  const isDeclared = declared_limit !== null;
  return html`
    <button
      disabled=${forbidden !== null || !isDeclared}
      title=${forbidden ?? (isDeclared ? 'Set a limit instead of the declared one' : 'It is no longer declared')}
      onclick=${() => open('set')}
    >
      Set limit …
    </button>
    <button
      disabled=${forbidden !== null || !is_limit_set}
      title=${forbidden ?? (is_limit_set ? 'Let the declared limit apply again' : 'The declared limit applies')}
      onclick=${() => open('reset')}
    >
      Reset limit …
    </button>
    ${
      dialog === 'set' &&
      html`<${Confirm}
        title="Set the limit"
        onClose=${close}
        action=${() => execute(() => api.setLimit(name, limit === '' ? Number.NaN : Number(limit)))}
      >
        <label class="field">
          <span>Runs in progress at a time${is_per_value ? ', for each value of its tag' : ''}; 0 for a pause</span>
          <input
            type="number"
            min="0"
            max=${MOST}
            required
            value=${limit}
            oninput=${(event) => setLimit(event.target.value)}
          />
        </label>
        <p>
          It applies instead of the declared limit, ${declared_limit}, until it is reset. Runs in progress continue: if
          there are more, none starts until enough have ended.
        </p>
      <//>`
    }
    ${
      dialog === 'reset' &&
      html`<${Confirm} title="Reset the limit" onClose=${close} action=${() => execute(() => api.resetLimit(name))}>
        <p>The declared limit, ${declared_limit}, applies again.</p>
      <//>`
    }
  `;
}

/** @param {{details: Api.PoolDetails, done: () => void}} props */
function PoolDetail({details: {pool, holders, waiters, values}, done}) {
  return html`
    <${Facts}
      facts=${[
        ['State', html`<${State} pool=${pool} />`],
        ['Limit', limitOf(pool)],
        pool.overlap !== 'QUEUE' && ['Overlap', pool.overlap],
        pool.is_limit_set && ['Declared limit', pool.declared_limit],
        pool.is_limit_set && ['Set by', html`${pool.limit_set_by}, <${Time} at=${pool.limit_set_at} />`, 'wide'],
        Object.keys(pool.limits).length > 0 && [
          'Limits of values',
          Object.entries(pool.limits)
            .map(([name, limit]) => `${name}: ${limit}`)
            .join(', '),
          'wide',
        ],
        pool.project && ['Project', pool.project],
        ['Slots held', pool.held],
        ['Runs waiting', waitingOf(pool)],
        pool.waiting_since && ['Oldest waits since', html`<${Time} at=${pool.waiting_since} />`],
      ]}
    />
    ${
      values.length > 0 &&
      html`<section class="card">
        <h2>Values for which runs wait</h2>
        <${Table} caption="Values" columns=${COLUMNS} rows=${values} keyOf=${(each) => each.key} empty="" />
      </section>`
    }
    <section class="card">
      <h2>Runs that hold slots</h2>
      <${Table}
        caption="Runs that hold slots"
        columns=${holderColumns(done)}
        rows=${holders}
        keyOf=${(each) => `${each.run_id}-${each.attempt}`}
        empty=${html`<p>No run holds a slot.</p>`}
      />
    </section>
    <section class="card">
      <h2>Runs that wait</h2>
      <${Table}
        caption="Runs that wait"
        columns=${waiterColumns(pool, done)}
        rows=${waiters}
        keyOf=${(each) => each.run_id}
        empty=${html`<p>No run waits.</p>`}
      />
      ${waiters.length < pool.waiting && html`<p class="faint">The first ${waiters.length} of ${waitingOf(pool)}.</p>`}
    </section>
  `;
}

/**
 * @param {() => void} done
 * @returns {Column<Api.PoolHolder>[]}
 */
const holderColumns = (done) => [
  {name: 'Run', kind: 'main', of: (each) => html`<${RunLink} of=${each} />`},
  {name: 'Job', of: (each) => each.job ?? html`<span class="bad-text">its record cannot be read</span>`},
  {name: 'Status', of: (each) => each.status && html`<${Badge} status=${each.status} />`},
  {name: 'Since', of: (each) => html`<${Time} at=${each.since} none="not started" />`},
  {
    name: 'Slot',
    of: (each) => html`
      ${each.is_beyond && 'beyond the limit '}
      ${each.is_in_doubt && html`<span class="bad-text">in doubt</span> <${Free} runId=${each.run_id} done=${done} />`}
    `,
  },
];

/**
 * @param {Api.Pool} pool
 * @param {() => void} done
 * @returns {Column<Api.PoolWaiter>[]}
 */
const waiterColumns = ({key}, done) => [
  {name: 'Place', kind: 'number', of: (each) => each.place},
  {name: 'Run', kind: 'main', of: (each) => html`<${RunLink} of=${each} />`},
  {name: 'Job', of: (each) => each.job ?? html`<span class="bad-text">its record cannot be read</span>`},
  {
    name: 'Priority',
    of: (each) => html`${each.priority} <${Priority} runId=${each.run_id} priority=${each.priority} done=${done} />`,
  },
  {name: 'Waits since', of: (each) => html`<${Time} at=${each.since} />`},
  {name: 'Also needs', of: (each) => each.pools.filter((name) => name !== key).join(', ') || '–'},
];

/** @param {{of: {run_id: string, attempt?: number}}} props */
function RunLink({of: {run_id, attempt = 1}}) {
  return html`
    <a href=${runAddress(run_id)} class="mono">${run_id.slice(0, 8)}</a>
    ${attempt > 1 && html`<small class="faint"> attempt ${attempt}</small>`}
  `;
}

/**
 * Free the slots of a run that may or may not have ended.
 *
 * @param {{runId: string, done: () => void}} props
 */
export function Free({runId, done}) {
  const forbidden = useForbidden();
  const [isOpen, setOpen] = useState(false);
  const action = async () => {
    const {reason} = await api.freeSlots(runId);
    notify(reason);
    done();
  };
  return html`
    <button
      class="small"
      disabled=${forbidden !== null}
      title=${forbidden ?? 'Free its slots, once you know that its execution has ended'}
      onclick=${() => setOpen(true)}
    >
      Free slots …
    </button>
    ${
      isOpen &&
      html`<${Confirm} title="Free the slots" onClose=${() => setOpen(false)} action=${action}>
        <p>
          It is unknown whether the execution of run ${runId.slice(0, 8)} has ended. Look at it in its target's console
          first: if it still runs, more runs than the limit will be in progress.
        </p>
      <//>`
    }
  `;
}

/**
 * Move a waiting run in its queue.
 *
 * @param {{runId: string, priority: number, done: () => void}} props
 */
export function Priority({runId, priority, done}) {
  const forbidden = useForbidden();
  const [wanted, setWanted] = useState(/** @type {string | null} */ (null));
  const action = async () => {
    const {reason} = await api.setPriority(runId, wanted ? Number(wanted) : Number.NaN);
    notify(reason);
    done();
  };
  return html`
    <button
      class="small"
      disabled=${forbidden !== null}
      title=${forbidden ?? 'Move it in the queue of its pool'}
      onclick=${() => setWanted(String(priority))}
    >
      Set priority …
    </button>
    ${
      wanted !== null &&
      html`<${Confirm} title="Set the priority" onClose=${() => setWanted(null)} action=${action}>
        <label class="field">
          <span>Priority of run ${runId.slice(0, 8)}: the highest starts first</span>
          <input type="number" step="1" required value=${wanted} oninput=${(event) => setWanted(event.target.value)} />
        </label>
        <p>Among runs of the same priority, the one that has waited longest starts first.</p>
      <//>`
    }
  `;
}

/**
 * A link to a pool, or to the part of it for a value of its tag.
 *
 * @param {string} key
 */
export function poolLink(key) {
  const [name, ...value] = key.split('=');
  return html`<a href=${poolAddress(name, value.length > 0 ? value.join('=') : null)}>pool ${key}</a>`;
}
