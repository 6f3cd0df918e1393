// A run with its history.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {count, utc} from '../format.js';
import {useLive} from '../live.js';
import {address, sensorAddress, tickAddress} from '../router.js';
import {Badge, Copy, ErrorCard, Facts, Elapsed, Loaded, Mono, Page, Table, Text, Time} from '../components.js';
import {Free, Priority, poolLink} from './pools.js';
import {ASSET_SELECTION, Tags} from './requests.js';
import {Explanation} from './explanation.js';
import {backfillLink} from './run_list.js';
import {Actions, ENDED} from './run_actions.js';

const PRIORITY = 'dagster/priority';

/** @param {{runId: string}} props */
export function Run({runId}) {
  const [every, setEvery] = useState(4000);
  const run = useLive(
    async (signal) => {
      const found = await api.oneRun(runId, signal);
      // Its explanation takes more reads than its record, and after its end there is little news.
      setEvery(ENDED.includes(found.status) ? 20_000 : 4000);
      return found;
    },
    every,
    ['run', runId],
  );
  const above = html`
    <a href=${address(['runs'], {job: run.data?.job})}>Runs</a>
    ${run.data?.sensor && html` <a href=${sensorAddress(run.data.sensor)}>${run.data.sensor}</a>`}
  `;
  return html`<${Page}
    title=${`Run ${runId.slice(0, 8)}`}
    above=${above}
    actions=${run.data && html`<${Actions} run=${run.data} done=${run.refresh} />`}
  >
    <${Loaded} of=${run} what="the run">
      ${(found) => html`<${RunDetail} run=${found} done=${run.refresh} />`}
    <//>
  <//>`;
}

/** @param {{run: Api.Run, done: () => void}} props */
function RunDetail({run, done}) {
  return html`
    <${Facts}
      facts=${[
        ['Status', html`<${Badge} status=${run.status} />`],
        ['Job', html`<a href=${address(['runs'], {job: run.job})}>${run.job}</a>`],
        [
          'Sensor',
          run.sensor
            ? html`<a href=${sensorAddress(run.sensor)}>${run.sensor}</a>`
            : (backfillLink(run) ?? 'none: an external run'),
        ],
        run.sensor && [
          'Tick',
          html`<a href=${tickAddress(run.sensor, run.tick_id)} class="mono clip">${run.tick_id}</a>`,
          'wide',
        ],
        ['Run key', html`<${Mono}>${run.run_key ?? 'none'}<//>`, 'wide'],
        run.partition_key && ['Partition', html`<${Mono}>${run.partition_key}<//>`],
        run.tags[ASSET_SELECTION] && ['Assets', html`<${Mono}>${run.tags[ASSET_SELECTION]}<//>`, 'wide'],
        [
          'Attempt',
          html`
            ${run.attempt}
            ${run.attempts_allowed > 1 && html` <span class="faint">of ${run.attempts_allowed}</span>`}
          `,
        ],
        run.waiting && [
          'Waits for',
          html`
            ${poolLink(run.waiting.pool)}, since <${Time} at=${run.waiting.since} />
            <${Priority} runId=${run.run_id} priority=${run.tags[PRIORITY] ?? 0} done=${done} />
          `,
          'wide',
        ],
        run.pools.length > 0 && [
          'Pools',
          run.pools.map((key) => html`<span key=${key}>${poolLink(key)} </span>`),
          'wide',
        ],
        run.pools_in_doubt.length > 0 && [
          'Slots in doubt',
          html`
            <span class="bad-text">${run.pools_in_doubt.join(', ')}</span>
            <${Free} runId=${run.run_id} done=${done} />
          `,
          'wide',
        ],
        ['Created', html`<${Time} at=${run.created_at} />`],
        ['Started', html`<${Time} at=${run.started_at} none="not yet" />`],
        ['Ended', html`<${Time} at=${run.ended_at} none="not yet" />`],
        run.retry_at !== null && ['Retried', html`<${Time} at=${run.retry_at} />`],
        ['Took', html`<${Elapsed} from=${run.started_at} to=${run.ended_at} />`],
        run.external_id && [
          'Execution',
          html`
            <${Mono}>${run.external_id}<//> <${Copy} text=${run.external_id} what="execution" />
            ${run.links.map(
              ({label, url}) =>
                html`<a key=${url} class="outside" href=${url} target="_blank" rel="noreferrer">${label} in AWS</a> `,
            )}
          `,
          'wide',
        ],
        ['Id', html`<${Mono}>${run.run_id}<//> <${Copy} text=${run.run_id} what="run id" />`, 'wide'],
      ]}
    />
    <${Failure} failure=${run.failure} />
    ${
      run.waits &&
      !run.explanation &&
      html`<section class="card">
        <h2>What it waits for</h2>
        <p>${run.waits}</p>
      </section>`
    }
    ${
      run.explanation &&
      html`<section class="card"><h2>How it came about</h2><${Explanation} explanation=${run.explanation} /></section>`
    }
    ${
      run.allowances?.length > 0 &&
      html`<section class="card">
        <h2>Attempts that were granted</h2>
        <ul class="plain">
          ${run.allowances.map(
            (each) =>
              html`<li key=${each.at}>Attempt ${each.attempts} by <b>${each.by}</b>, <${Time} at=${each.at} /></li>`,
          )}
        </ul>
      </section>`
    }
    ${
      run.edits?.length > 0 &&
      html`<section class="card">
        <h2>What operators did</h2>
        <ul class="plain">
          ${run.edits.map(
            (each, index) => html`<li key=${index}><b>${each.by}</b> ${each.action}, <${Time} at=${each.at} /></li>`,
          )}
        </ul>
      </section>`
    }
    <${Reactions} reactions=${run.reactions} />
    <section class="card">
      <h2>Run config</h2>
      <${Text} text=${run.run_config ?? '{}'} what="run config" />
      <h3>Tags</h3>
      <${Tags} tags=${run.tags} />
    </section>
  `;
}

/** @type {Column<NonNullable<Api.Run['failure']>['steps'][number]>[]} */
const STEP_COLUMNS = [
  {name: 'Step', kind: 'main', of: (step) => html`<${Mono}>${step.step_key}<//>`},
  {name: 'Error', of: (step) => step.error},
  {name: 'Cause', of: (step) => html`<span class="message">${step.cause}</span>`},
];

/** @param {{failure: Api.Run['failure']}} props */
function Failure({failure}) {
  if (!failure) return null;
  return html`
    <${ErrorCard} error=${failure} />
    ${failure.assumed && html`<p class="faint">Treadle concluded this; the target has not reported it.</p>`}
    ${
      failure.steps?.length > 0 &&
      html`<section class="card">
        <h2>Steps that failed</h2>
        <${Table}
          caption="Steps that failed"
          rows=${failure.steps}
          keyOf=${(step) => step.step_key}
          columns=${STEP_COLUMNS}
        />
      </section>`
    }
  `;
}

/** @param {{reactions: Api.Run['reactions']}} props */
function Reactions({reactions}) {
  if (!reactions?.length) return null;
  return html`<section class="card">
    <h2>${count(reactions.length, 'sensor')} acted on it</h2>
    <ul class="plain">
      ${reactions.map(
        (each) => html`<li key=${each.event_id + each.sensor}>
          <a href=${tickAddress(each.sensor, each.tick_id)}>${each.sensor}</a> <span
            class="faint"
            title=${utc(each.at)}
          >
            on ${each.event_id.split('/').pop()}, <${Time} at=${each.at} ago />
          </span>
        </li>`,
      )}
    </ul>
  </section>`;
}
