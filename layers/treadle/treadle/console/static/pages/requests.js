// What a tick requested, or would request: runs, run keys that exist already, rejected requests, materializations.

import {html} from '../vendor/htm-preact.js';
import {count} from '../format.js';
import {address, runAddress} from '../router.js';
import {Badge, Mono, Table, Text} from '../components.js';

/**
 * @param {object} props
 * @param {Api.PreviewedTick} props.tick
 * @param {(key: string) => Content} [props.action] what can be done about a run key that exists already.
 * @param {boolean} [props.isPreview] whether nothing was committed.
 */
export function Requests({tick, action, isPreview = false}) {
  const {requests = [], existing_keys: existing = [], rejected = [], asset_events: made = []} = tick;
  const partitions = tick.dynamic_partitions_request_results ?? [];
  const all = tick.requests_count ?? requests.length + (tick.left_out?.requests ?? 0);
  const runs = new Set((tick.runs ?? []).map((run) => run.run_id));
  // Runs are shown of the first hundred requests.
  const status = (/** @type {Api.RunRequest} */ each, /** @type {number} */ index) =>
    isPreview || index >= MOST_RUNS || runs.has(each.run_id) ? null : statusWithoutRun(tick);
  return html`
    ${
      requests.length > 0 &&
      html`<section class="card">
        <h2>${count(all, 'run request')}</h2>
        ${all > requests.length && html`<p class="faint">The first ${requests.length} of them:</p>`}
        ${requests.map(
          (each, index) =>
            html`<${Request}
              key=${each.run_id ?? index}
              request=${each}
              status=${status(each, index)}
              isPreview=${isPreview}
            />`,
        )}
      </section>`
    }
    ${
      existing.length > 0 &&
      html`<section class="card">
        <h2>${count(existing.length, 'run key')} taken already</h2>
        <p class="faint">
          ${
            existing.length === 1
              ? 'A run exists for this key, so none was requested again.'
              : 'Runs exist for these keys, so none were requested again.'
          }
        </p>
        <ul class="keys">${existing.map((key) => html`<li key=${key}><${Mono}>${key}<//>${action?.(key)}</li>`)}</ul>
      </section>`
    }
    ${
      rejected.length > 0 &&
      html`<section class="card">
        <h2>${count(rejected.length, 'rejected request')}</h2>
        <p class="faint">These could never run; the others were not delayed.</p>
        <${Table}
          caption="Rejected requests"
          rows=${rejected}
          keyOf=${(each) => `${each.run_key} ${each.reason}`}
          columns=${REJECTED_COLUMNS}
        />
      </section>`
    }
    ${
      made.length > 0 &&
      html`<section class="card">
        <h2>${count(made.length, 'asset event')}</h2>
        <ul class="keys">
          ${made.map(
            (each, index) =>
              html`<li key=${index}>
                <a href=${address(['assets'], {key: keyText(each.asset_key), kind: each.kind})}
                  >${keyText(each.asset_key)}</a
                >
                ${each.kind === 'ASSET_OBSERVATION' && html` <span class="faint">observed</span>`}
                ${each.partition && html` <span class="faint">partition</span> <${Mono}>${each.partition}<//>`}
              </li>`,
          )}
        </ul>
      </section>`
    }
    ${partitions.map((each, index) => html`<${Partitions} key=${index} result=${each} />`)}
  `;
}

/**
 * What a tick requested of a set of dynamic partitions.
 *
 * @param {{result: Api.PartitionsResult}} props
 */
function Partitions({result}) {
  const {partitions_def_name: set, added_partitions: added, skipped_partitions: skipped} = result;
  const changed = added ?? result.deleted_partitions ?? [];
  const [done, why] = added ? ['added', 'existed already'] : ['deleted', 'did not exist'];
  return html`<section class="card">
    <h2>${count(result.changed_count ?? changed.length, 'partition')} of ${set} ${done}</h2>
    ${changed.length > 0 && html`<${Keys} keys=${changed} number=${result.changed_count} />`}
    ${
      skipped.length > 0 &&
      html`<p class="faint">${count(result.skipped_count ?? skipped.length, 'requested key')} ${why}:</p>
        <${Keys} keys=${skipped} number=${result.skipped_count} />`
    }
  </section>`;
}

/** @param {{keys: string[], number?: number}} props */
function Keys({keys, number = keys.length}) {
  const shown = keys.slice(0, MOST_KEYS);
  return html`<ul class="keys">
    ${shown.map((key) => html`<li key=${key}><${Mono}>${key}<//></li>`)}
    ${number > shown.length && html`<li class="faint">and ${number - shown.length} more</li>`}
  </ul>`;
}

const MOST_RUNS = 100;
const MOST_KEYS = 100;

/** @type {Column<Api.Tick['rejected'][number]>[]} */
const REJECTED_COLUMNS = [
  {name: 'Run key', kind: 'main', of: (each) => html`<${Mono}>${each.run_key ?? '–'}<//>`},
  {name: 'Reason', of: (each) => each.reason},
];

/**
 * The status of a tick's request that has no run; null if its run may still start.
 *
 * @param {Api.PreviewedTick} tick
 */
function statusWithoutRun({dispatched, held_requests: held}) {
  if (dispatched) return dispatched.refused ? 'REFUSED' : null;
  return held ? 'HELD' : null;
}

/**
 * An asset's key as one text.
 *
 * @param {string | string[] | {path?: string[], parts?: string[]}} key
 */
function keyText(key) {
  if (typeof key === 'string') return key;
  const parts = Array.isArray(key) ? key : (key?.path ?? key?.parts ?? [String(key)]);
  return parts.join('/');
}

/** The tag with the keys of the assets that a request selects. */
export const ASSET_SELECTION = 'treadle/asset_selection';

/** @param {{request: Api.RunRequest, status: string | null, isPreview: boolean}} props */
function Request({request, status, isPreview}) {
  return html`<details class="request">
    <summary>
      <span class="mono strong">${request.run_key ?? 'no run key'}</span>
      <span class="faint">→ ${request.job}</span>
      ${status && html`<${Badge} status=${status} />`}
      ${request.partition_key && html`<span class="tag">partition ${request.partition_key}</span>`}
      ${request.tags?.[ASSET_SELECTION] && html`<span class="tag">assets ${request.tags[ASSET_SELECTION]}</span>`}
    </summary>
    ${
      request.run_id &&
      !isPreview &&
      !status &&
      html`<p>Run <a class="mono" href=${runAddress(request.run_id)}>${request.run_id}</a></p>`
    }
    <h3>Run config</h3>
    <${Text} text=${request.run_config ?? '{}'} what="run config" />
    <h3>Tags</h3>
    <${Tags} tags=${request.tags} />
  </details>`;
}

/** @param {{tags?: Record<string, string>}} props */
export function Tags({tags}) {
  const all = Object.entries(tags ?? {});
  if (all.length === 0) return html`<p class="faint">none</p>`;
  return html`<p class="tags">
    ${all.map(([name, value]) => html`<span key=${name} class="tag">${name} = ${value}</span>`)}
  </p>`;
}
