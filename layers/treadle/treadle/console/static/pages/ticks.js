// A sensor's ticks: as far as a timeline reaches, as a table with filters and pages, and one by itself.

import {html, useRef, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {useForbidden} from '../deployment.js';
import {count, duration, minimalCursor, serverNow} from '../format.js';
import {useLive} from '../live.js';
import {address, replaceQuery, sensorAddress, tickAddress} from '../router.js';
import {
  Badge,
  Choice,
  ErrorCard,
  Facts,
  Elapsed,
  Loaded,
  Log,
  Mono,
  Page,
  Pager,
  Table,
  Time,
  notify,
  useAction,
} from '../components.js';
import {stateOf, tickSummary} from '../timeline.js';
import {Release} from '../release.js';
import {Requests} from './requests.js';
import {RunRows} from './run_list.js';

const PAGE = 25,
  FEW = 100,
  MANY = 1000,
  LONG = 2 * 3_600_000;

/** @typedef {{name: string | null, ticks: Map<string, Api.TickOutline>, reached: number}} Known */

/**
 * The ticks of so long, newest first; older pages are read once, the newest one again and again.
 *
 * @param {string} name
 * @param {number} length in milliseconds.
 */
export function useTicks(name, length) {
  const known = useRef(/** @type {Known} */ ({name: null, ticks: new Map(), reached: Infinity}));
  return useLive(
    async (signal) => {
      if (known.current.name !== name) known.current = {name, ticks: new Map(), reached: Infinity};
      const {ticks} = known.current;
      const since = serverNow() - length;
      /** @type {string | undefined} */
      let before;
      let met = false;
      const limit = length < LONG || known.current.reached <= since ? FEW : MANY;
      for (let read = 0; read < MANY; read += limit) {
        const page = await api.ticks(name, {limit, before}, signal);
        met = met || page.ticks.some((tick) => ticks.get(tick.tick_id)?.status === tick.status);
        for (const tick of page.ticks) ticks.set(tick.tick_id, tick);
        const oldest = page.ticks.at(-1)?.time ?? -Infinity;
        const reached = page.next ? oldest : -Infinity;
        if (reached <= since || (met && known.current.reached <= since)) {
          known.current.reached = Math.min(known.current.reached, reached);
          break;
        }
        before = page.next ?? undefined;
      }
      // A streak of skips that has grown is the same record still; one that was ended keeps its id.
      return [...ticks.values()].sort((one, other) => other.time - one.time || (one.tick_id < other.tick_id ? 1 : -1));
    },
    4000,
    ['timeline', name, length],
  );
}

const FILTERS = [
  ['', 'All'],
  ['SUCCESS', 'Requested'],
  ['SKIPPED', 'Skipped'],
  ['FAILURE', 'Failed'],
  ['HELD', 'Held'],
  ['REFUSED', 'Refused'],
  ['REJECTED', 'Rejected'],
];

/** @param {{sensor: string, query: Query, newest?: string}} props */
export function TickList({sensor, query, newest}) {
  const at = ['sensors', sensor];
  const parameters = {status: query.status, before: query.before, limit: PAGE};
  const page = useLive((signal) => api.ticks(sensor, parameters, signal), query.before ? 0 : 4000, [
    'ticks',
    sensor,
    parameters,
  ]);
  return html`<section class="card" aria-label="Ticks">
    <div class="toolbar">
      <${Choice}
        label="Ticks that"
        options=${FILTERS}
        value=${query.status ?? ''}
        onChange=${(status) => replaceQuery(at, {status})}
      />
    </div>
    <${Loaded} of=${page} what="ticks">
      ${({ticks, next}) => html`
        <${TickTable}
          ticks=${ticks}
          hasOlder=${Boolean(next)}
          isFiltered=${Boolean(query.status || query.before)}
          hasTicked=${Boolean(newest)}
        />
        <${Pager}
          isFirst=${!query.before}
          next=${next}
          onFirst=${() => replaceQuery(at, {status: query.status})}
          onNext=${() => replaceQuery(at, {status: query.status, before: next})}
        />
      `}
    <//>
  </section>`;
}

/** @param {{ticks: Api.TickOutline[], isFiltered: boolean, hasTicked: boolean, hasOlder: boolean}} props */
function TickTable({ticks, isFiltered, hasTicked, hasOlder}) {
  /** @type {Column<Api.TickOutline>[]} */
  const columns = [
    {
      name: 'Time',
      kind: 'main',
      of: (tick) =>
        html`
          <a href=${tickAddress(tick.sensor, tick.tick_id)}><${Time} at=${tick.time} /></a>
          ${
            (tick.last_time ?? 0) > tick.time && html`<small class="faint"> to <${Time} at=${tick.last_time} /></small>`
          }
        `,
    },
    {name: 'Outcome', of: (tick) => html`<${TickBadge} tick=${tick} />`},
    {
      name: 'Took',
      kind: 'number',
      of: (tick) => (tick.skips > 1 ? html`<span class="faint">–</span>` : duration(tick.ended_at - tick.started_at)),
    },
    {name: 'Result', kind: 'whole', of: (tick) => html`<span class="clip wide">${tickSummary(tick)}</span>`},
    {
      name: 'Trigger',
      kind: 'whole',
      of: (tick) => html`<span class="mono clip" title=${tick.trigger ?? ''}>${tick.trigger ?? 'schedule'}</span>`,
    },
  ];
  const empty = hasOlder
    ? html`<p>None among the last thousand ticks. “Older” shows earlier ones.</p>`
    : isFiltered
      ? html`<p>No tick matches. Choose “All” to see the others.</p>`
      : html`<p>
        ${
          hasTicked
            ? 'The ticks have expired.'
            : 'No tick yet. A running sensor ticks by its schedule or at its events; “Test …” shows what it would do.'
        }
      </p>`;
  return html`<${Table}
    caption="Ticks"
    columns=${columns}
    rows=${ticks}
    keyOf=${(tick) => tick.tick_id}
    empty=${empty}
  />`;
}

/** @param {{tick: Api.TickOutline | Api.Tick}} props */
function TickBadge({tick}) {
  const label = tick.skips > 1 ? `Skipped × ${tick.skips}` : stateOf(tick) === 'SUCCESS' ? 'Requested' : undefined;
  return html`<${Badge} status=${stateOf(tick)} label=${label} title=${tickSummary(tick)} />`;
}

/** @param {{sensor: string, tickId: string}} props */
export function Tick({sensor, tickId}) {
  const tick = useLive((signal) => api.tick(sensor, tickId, signal), 4000, ['tick', sensor, tickId]);
  const above = html`<a href=${address(['sensors'])}>Sensors</a> <a href=${sensorAddress(sensor)}>${sensor}</a>`;
  const neighbor = (
    /** @type {string | null | undefined} */ id,
    /** @type {'prev' | 'next'} */ rel,
    /** @type {string} */ label,
  ) => id && html`<a class="button" rel=${rel} href=${tickAddress(sensor, id)}>${label}</a>`;
  const actions = html`
    ${neighbor(tick.data?.older, 'prev', 'Older tick')} ${neighbor(tick.data?.newer, 'next', 'Newer tick')}
  `;
  return html`<${Page} title="Tick" above=${above} actions=${actions}>
    <${Loaded} of=${tick} what="the tick">
      ${(found) => html`<${TickDetail} tick=${found} refresh=${tick.refresh} />`}
    <//>
  <//>`;
}

/** @param {{tick: Api.Tick, refresh: () => void}} props */
function TickDetail({tick, refresh}) {
  const {dispatched} = tick;
  return html`
    <${Facts}
      facts=${[
        ['Outcome', html`<${TickBadge} tick=${tick} />`],
        ['Due', html`<${Time} at=${tick.time} />`],
        (tick.last_time ?? 0) > tick.time && ['Last of them', html`<${Time} at=${tick.last_time} />`],
        !(tick.skips > 1) && ['Took', html`<${Elapsed} from=${tick.started_at} to=${tick.ended_at} />`],
        ['Trigger', html`<${Mono}>${tick.trigger ?? 'schedule'}<//>`, 'wide'],
        tick.attempts > 1 && ['Evaluated', count(tick.attempts, 'time')],
        dispatched && [
          'Dispatched',
          `${count(dispatched.started, 'run')} started, ${dispatched.existing} existed already, ` +
            `${dispatched.refused} refused`,
        ],
        !dispatched &&
          tick.is_pending && [
            'Dispatched',
            tick.held ? html`<span class="warn-text">waits: ${tick.held}</span>` : 'not yet',
          ],
        tick.acted_on && ['Acted on', html`<${Mono}>${tick.acted_on}<//>`],
        [
          'Cursor after',
          html`<span class="mono clip" title=${tick.cursor ?? ''}>${minimalCursor(tick.cursor)}</span>`,
          'wide',
        ],
        ['Id', html`<${Mono}>${tick.tick_id}<//>`, 'wide'],
      ]}
    />
    ${tick.reason && html`<div class="notice quiet"><${Badge} status=${tick.status} /><p>${tick.reason}</p></div>`}
    ${tick.paused && html`<div class="notice warn"><${Badge} status="PAUSED" /><p>${tick.paused}</p></div>`}
    ${
      tick.dropped &&
      html`<div class="notice warn">
        <${Badge} status="warning" label="Dropped" />
        <p>${tick.dropped.reason} (${tick.dropped.by}, <${Time} at=${tick.dropped.at} />)</p>
      </div>`
    }
    ${tick.is_pending && tick.held && !tick.dropped && html`<${DropHeld} tick=${tick} done=${refresh} />`}
    <${ErrorCard} error=${tick.error} />
    ${
      tick.refusals?.length > 0 &&
      html`<section class="card">
        <h2>Refused</h2>
        <ul class="plain">
          ${tick.refusals.map((why) => html`<li key=${why}><${Badge} status="warning" label="Refused" /> ${why}</li>`)}
        </ul>
      </section>`
    }
    ${
      tick.runs?.length > 0 &&
      html`<section class="card"><h2>Runs</h2><${RunRows} runs=${tick.runs} empty="" /></section>`
    }
    <${Requests}
      tick=${tick}
      action=${(key) => html`<${Release} sensor=${tick.sensor} runKey=${key} done=${refresh} />`}
    />
    <section class="card"><h2>Log</h2><${Log} lines=${tick.log} /></section>
  `;
}

/**
 * Lets no more start of a tick that waits.
 *
 * @param {{tick: Api.Tick, done?: () => void}} props
 */
function DropHeld({tick, done}) {
  const forbidden = useForbidden();
  const {busy, run} = useAction();
  const [reason, setReason] = useState('');
  const drop = (/** @type {Event} */ event) => {
    event.preventDefault();
    return run(async () => {
      const result = await api.dropTick(tick.sensor, tick.tick_id, reason);
      notify(result?.reason ?? 'What was held is dropped.');
      done?.();
    });
  };
  return html`<form class="card" onsubmit=${drop}>
    <h2><${Badge} status="HELD" label="Held requests" /></h2>
    <p>${tick.held}</p>
    <label class="field">
      <span>Why they are dropped</span>
      <input type="text" maxlength="500" value=${reason} oninput=${(event) => setReason(event.target.value)} />
    </label>
    <button class="small" disabled=${busy || forbidden !== null} title=${forbidden ?? 'Let none of them start'}>
      Drop held requests
    </button>
  </form>`;
}
