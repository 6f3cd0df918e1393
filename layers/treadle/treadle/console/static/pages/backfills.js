// Backfills: as a list with their progress, and one with its partitions and runs.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {useForbidden} from '../deployment.js';
import {count} from '../format.js';
import {useLive} from '../live.js';
import {address, backfillAddress, replaceQuery, runAddress} from '../router.js';
import {
  Badge,
  Choice,
  Elapsed,
  Facts,
  Loaded,
  Mono,
  Page,
  Pager,
  Problem,
  Table,
  Text,
  Time,
  notify,
} from '../components.js';
import {Confirm} from '../dialogs.js';
import {Tags} from './requests.js';

/** @typedef {import('../components.js').Fact} Fact */
/** @typedef {import('../components.js').Tone} Tone */

const PAGE = 25;

/** @type {[group: string, label: string, tone: Tone, states: (keyof Api.Backfill['counts'])[]][]} */
const GROUPS = [
  ['succeeded', 'Succeeded', 'good', ['SUCCESS']],
  ['failed', 'Failed', 'bad', ['FAILURE']],
  ['canceled', 'Canceled', 'quiet', ['CANCELED']],
  ['in-progress', 'In progress', 'live', ['RESERVED', 'IN_PROGRESS']],
  ['waiting', 'Waiting', 'waiting', ['WAITING']],
];

/**
 * The number of partitions in each group of states.
 *
 * @param {Api.BackfillOutline} backfill
 */
const groupsOf = (backfill) =>
  GROUPS.map(([group, label, tone, states]) => ({
    group,
    label,
    tone,
    number: states.reduce((sum, state) => sum + backfill.counts[state], 0),
  }));

/**
 * @param {Api.BackfillOutline} backfill
 * @param {string} wanted
 */
const numberOf = (backfill, wanted) => groupsOf(backfill).find(({group}) => group === wanted)?.number ?? 0;

/**
 * The limit as text.
 *
 * @param {Api.BackfillOutline} backfill
 */
const limitOf = ({limit}) => (limit ? `${limit} in progress` : 'none');

/** @type {Column<Api.BackfillOutline>[]} */
const COLUMNS = [
  {name: 'Backfill', kind: 'main', of: (each) => html`<a href=${backfillAddress(each.name)}>${each.name}</a>`},
  {name: 'Job', of: (each) => html`<a href=${address(['runs'], {job: each.job})}>${each.job}</a>`},
  {
    name: 'Status',
    of: (each) => html`
      <${Badge} status=${each.status} />
      ${each.problem && html` <span class="bad-text" title=${each.problem}>blocked</span>`}
    `,
  },
  {name: 'Progress', of: (each) => html`<${Progress} backfill=${each} />`},
  {name: 'Failed', kind: 'number', of: (each) => numberOf(each, 'failed') + numberOf(each, 'canceled')},
  {name: 'In progress', kind: 'number', of: (each) => numberOf(each, 'in-progress')},
  {name: 'Waiting', kind: 'number', of: (each) => numberOf(each, 'waiting')},
  {name: 'Limit', of: limitOf},
  {name: 'Requested', of: (each) => html`<${Time} at=${each.created_at} />`},
];

/** @param {{query: Query}} props */
export function Backfills({query}) {
  const parameters = {before: query.before, limit: PAGE};
  const page = useLive((signal) => api.backfills(parameters, signal), query.before ? 0 : 4000, [
    'backfills',
    parameters,
  ]);
  const turn = (/** @type {string | null | undefined} */ before) => replaceQuery(['backfills'], {before});
  return html`<${Page} title="Backfills">
    <p class="lead">
      A backfill starts one run of a job for each of its partitions. Partitions are defined in the code of a project, so
      a backfill is started there: <code>treadle backfill start JOB</code>.
    </p>
    <${Loaded} of=${page} what="backfills">
        ${({backfills, next}) => html`
          <${Table}
            caption="Backfills"
            columns=${COLUMNS}
            rows=${backfills}
            keyOf=${(each) => each.name}
            empty=${html`<p>There are no backfills.</p>`}
          />
          <${Pager}
            isFirst=${!query.before}
            next=${next}
            onFirst=${() => turn(undefined)}
            onNext=${() => turn(next)}
          />
        `}
      <//>
  <//>`;
}

/**
 * How far a backfill is, as a bar and in words.
 *
 * @param {{backfill: Api.BackfillOutline}} props
 */
function Progress({backfill}) {
  const {total} = backfill;
  let end = 0;
  const bars = groupsOf(backfill).map(({group, tone, number}) => {
    const start = end;
    end += number;
    return html`<rect key=${group} class=${tone} x=${start} width=${tone === 'waiting' ? 0 : number} height="1" />`;
  });
  return html`
    <span>${numberOf(backfill, 'succeeded')} of ${total} succeeded</span>
    <svg class="progress" viewBox=${`0 0 ${total} 1`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
      ${bars}
    </svg>
  `;
}

/** @param {{name: string, query: Query}} props */
export function Backfill({name, query}) {
  const [every, setEvery] = useState(4000);
  const backfill = useLive(
    async (signal) => {
      const found = await api.oneBackfill(name, signal);
      setEvery(found.next_at ? 4000 : 20_000);
      return found;
    },
    every,
    ['backfill', name],
  );
  return html`<${Page}
    title=${`Backfill ${name}`}
    above=${html`<a href=${address(['backfills'])}>Backfills</a>`}
    actions=${backfill.data && html`<${Actions} backfill=${backfill.data} done=${backfill.refresh} />`}
  >
    <${Loaded} of=${backfill} what="the backfill">
      ${(found) => html`<${BackfillDetail} backfill=${found} query=${query} every=${every} />`}
    <//>
  <//>`;
}

/** @param {{backfill: Api.Backfill, done: () => void}} props */
function Actions({backfill, done}) {
  const forbidden = useForbidden();
  const [dialog, setDialog] = useState(/** @type {string | null} */ (null));
  const [limit, setLimit] = useState('');
  const {name, status} = backfill;
  const close = () => setDialog(null);
  const open = (/** @type {string} */ which) => {
    setLimit(String(backfill.limit));
    setDialog(which);
  };
  const execute = async (/** @type {() => Promise<Api.Response<'pause_backfill'>>} */ action) => {
    const {reason} = await action();
    notify(reason);
    done();
  };
  const isPaused = status === 'PAUSED';
  const isUnfinished = isPaused || status === 'REQUESTED';
  const failed = numberOf(backfill, 'failed') + numberOf(backfill, 'canceled');
  const isCanceled = status === 'CANCELED' || status === 'CANCELING';
  const ended = isCanceled ? 'It was canceled' : 'It has ended';
  const button = (
    /** @type {string} */ which,
    /** @type {string} */ label,
    /** @type {boolean} */ isPossible,
    /** @type {string} */ title,
  ) => html`<button
    disabled=${forbidden !== null || !isPossible}
    title=${forbidden ?? title}
    onclick=${() => open(which)}
  >
    ${label} …
  </button>`;
  return html`
    ${button(
      'pause',
      'Pause',
      status === 'REQUESTED',
      isPaused ? 'It is paused already' : isUnfinished ? 'Start no more runs until it is resumed' : ended,
    )}
    ${button(
      'resume',
      isPaused ? 'Resume' : 'Change limit',
      isUnfinished,
      isUnfinished ? 'How many of its runs may be in progress at a time' : ended,
    )}
    ${button(
      'retry',
      'Retry',
      failed > 0 && !isCanceled,
      isCanceled ? ended : failed ? 'Start its failed and canceled runs again' : 'No run of it has failed',
    )}
    ${button('cancel', 'Cancel', isUnfinished, isUnfinished ? 'End it: no more runs start' : ended)}
    ${
      dialog === 'pause' &&
      html`<${Confirm}
        title="Pause the backfill"
        onClose=${close}
        action=${() => execute(() => api.changeBackfill(name, 'pause'))}
      >
        <p>
          ${count(numberOf(backfill, 'waiting'), 'partition')} will wait until it is resumed. Runs in progress continue,
          and runs that are about to start, at most a hundred, may still start.
        </p>
      <//>`
    }
    ${
      dialog === 'resume' &&
      html`<${Confirm}
        title=${isPaused ? 'Resume the backfill' : 'Change the limit'}
        onClose=${close}
        action=${() => execute(() => api.resumeBackfill(name, {limit: limit === '' ? undefined : Number(limit)}))}
      >
        <label class="field">
          <span>Runs in progress at a time; 0 for no limit</span>
          <input type="number" min="0" max="100000" value=${limit} oninput=${(event) => setLimit(event.target.value)} />
        </label>
      <//>`
    }
    ${
      dialog === 'retry' &&
      html`<${Confirm}
        title="Retry failed runs"
        onClose=${close}
        action=${() => execute(() => api.changeBackfill(name, 'retry'))}
      >
        <p>
          The next attempt of ${count(failed, 'failed or canceled run')} starts, with the same config and tags, under
          the limit of the backfill. Runs that succeeded stay as they are.
        </p>
      <//>`
    }
    ${
      dialog === 'cancel' &&
      html`<${Confirm}
        title="Cancel the backfill"
        onClose=${close}
        action=${() => execute(() => api.changeBackfill(name, 'cancel'))}
      >
        <p>
          ${count(numberOf(backfill, 'waiting'), 'partition')} will never start, and runs that wait for their launch are
          canceled. A canceled backfill cannot be resumed.
        </p>
        <p>
          Runs that their targets have started continue. To cancel them, too, use
          <code>treadle backfill cancel ${name} --runs</code> afterwards.
        </p>
      <//>`
    }
  `;
}

/** @param {{backfill: Api.Backfill, query: Query, every: number}} props */
function BackfillDetail({backfill, query, every}) {
  return html`
    ${backfill.problem && html`<${Problem} error=${{message: backfill.problem}} />`}
    <${Facts}
      facts=${[
        ['Status', html`<${Badge} status=${backfill.status} />`],
        ['Job', html`<a href=${address(['runs'], {job: backfill.job})}>${backfill.job}</a>`],
        ['Progress', html`<${Progress} backfill=${backfill} />`],
        ...groupsOf(backfill)
          .slice(1)
          .map(({label, number}) => /** @type {Fact} */ ([label, number])),
        ['Limit', limitOf(backfill)],
        ['Requested', html`<${Time} at=${backfill.created_at} />`],
        backfill.next_at && ['Looked at again', html`<${Time} at=${backfill.next_at} />`],
      ]}
    />
    <${PartitionList} name=${backfill.name} query=${query} every=${every} />
    <section class="card">
      <h2>What operators did</h2>
      <ul class="plain">
        ${backfill.edits.map(
          (each, index) => html`<li key=${index}><b>${each.by}</b> ${each.action} it, <${Time} at=${each.at} /></li>`,
        )}
      </ul>
    </section>
    <section class="card">
      <h2>Run config</h2>
      <${Text} text=${backfill.run_config} what="run config" />
      <h3>Tags</h3>
      <${Tags} tags=${backfill.tags} />
    </section>
  `;
}

/** @type {Column<Api.BackfillRun>[]} */
const RUN_COLUMNS = [
  {name: 'Partition', kind: 'main', of: (each) => html`<${Mono}>${each.partition_key}<//>`},
  {name: 'State', of: (each) => html`<${Badge} status=${each.state} title=${each.run?.failure?.cause ?? ''} />`},
  {
    name: 'Run',
    of: ({run, attempt}) =>
      run
        ? html`
          <a href=${runAddress(run.run_id)} class="mono">${run.run_id.slice(0, 8)}</a>
          ${attempt > 1 && html`<small class="faint"> attempt ${attempt}</small>`}
        `
        : html`<span class="faint">not started</span>`,
  },
  {name: 'Created', of: ({run}) => html`<${Time} at=${run?.created_at} />`},
  {name: 'Took', kind: 'number', of: ({run}) => html`<${Elapsed} from=${run?.started_at} to=${run?.ended_at} />`},
];

/** @param {{name: string, query: Query, every: number}} props */
function PartitionList({name, query, every}) {
  const states = GROUPS.find(([group]) => group === query.state)?.[3].join(',');
  const parameters = {state: states, after: query.after, limit: PAGE};
  const page = useLive((signal) => api.backfillRuns(name, parameters, signal), every, ['partitions', name, parameters]);
  const turn = (/** @type {Query} */ change) =>
    replaceQuery(['backfills', name], {state: query.state, after: query.after, ...change});
  return html`<section class="card" aria-label="Partitions">
    <h2>Partitions</h2>
    <div class="toolbar">
      <${Choice}
        label="Partitions with state"
        options=${[['', 'All'], ...GROUPS]}
        value=${query.state ?? ''}
        onChange=${(state) => turn({state, after: undefined})}
      />
    </div>
    <${Loaded} of=${page} what="partitions">
      ${({runs, next}) => html`
        <${Table}
          caption="Partitions"
          columns=${RUN_COLUMNS}
          rows=${runs}
          keyOf=${(each) => each.run_id}
          empty=${html`<p>No partition matches. Choose “All” to see the others.</p>`}
        />
        <${Pager}
          isFirst=${!query.after}
          next=${next}
          labels=${['First', 'Next']}
          onFirst=${() => turn({after: undefined})}
          onNext=${() => turn({after: String(next)})}
        />
      `}
    <//>
  </section>`;
}
