// Assets: the newest materialization or observation of each, and those of one.

import {html} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {parseJson} from '../format.js';
import {useLive} from '../live.js';
import {address, replaceQuery, runAddress} from '../router.js';
import {Loaded, Mono, Page, Pager, Table, Tabs, Text, Time} from '../components.js';

const PAGE = 25;

/**
 * The body of an event.
 *
 * @param {Api.AssetEvent} event
 * @returns {Record<string, string | undefined>}
 */
const bodyOf = (event) => (typeof event.body === 'string' ? parseJson(event.body) : event.body) ?? {};

/** @param {{query: Query}} props */
export function Assets({query}) {
  return query.key
    ? html`<${Events} assetKey=${query.key} before=${query.before} kind=${kindOf(query)} />`
    : html`<${Keys} query=${query} />`;
}

/** @typedef {'ASSET_MATERIALIZATION' | 'ASSET_OBSERVATION'} Kind */

/** @type {[kind: Kind, text: string][]} */
const KINDS = [
  ['ASSET_MATERIALIZATION', 'Materializations'],
  ['ASSET_OBSERVATION', 'Observations'],
];

/**
 * @param {Query} query
 * @returns {Kind}
 */
const kindOf = (query) => (query.kind === 'ASSET_OBSERVATION' ? 'ASSET_OBSERVATION' : 'ASSET_MATERIALIZATION');

/** @param {{kind: Kind, query: Query}} props */
const Kinds = ({kind, query}) => html`<${Tabs}
  label="Kinds of events"
  tabs=${KINDS.map(([name, text]) => [name, text, address(['assets'], {...query, kind: name})])}
  present=${kind}
/>`;

/** @param {{query: Query}} props */
function Keys({query}) {
  const kind = kindOf(query);
  const isObserved = kind === 'ASSET_OBSERVATION';
  const assets = useLive((signal) => api.assets({kind}, signal), 5000, ['assets', kind]);
  const find = (query.find ?? '').toLowerCase();
  /** @type {Column<Api.AssetEvent>[]} */
  const columns = [
    {
      name: 'Asset',
      kind: 'main',
      of: (each) =>
        html`<a href=${address(['assets'], {key: each.asset_key, kind})} class="strong">${each.asset_key}</a>`,
    },
    {name: isObserved ? 'Observed' : 'Materialized', of: (each) => html`<${Time} at=${each.time} ago />`},
    {name: 'Partition', of: (each) => html`<${Mono}>${bodyOf(each).partition ?? '–'}<//>`},
    {name: 'Run', of: (each) => html`<${RunOf} body=${bodyOf(each)} />`},
    {name: 'Events', kind: 'number', of: (each) => each.storage_id},
  ];
  return html`<${Page} title="Assets">
    <${Kinds} kind=${kind} query=${{find: query.find}} />
    <div class="toolbar">
      <label class="field grow">
        <span class="unseen">Filter assets</span>
        <input
          type="search"
          placeholder="Filter by key …"
          value=${query.find ?? ''}
          oninput=${(event) => replaceQuery(['assets'], {find: event.target.value, kind})}
        />
      </label>
    </div>
    <${Loaded} of=${assets} what="assets">
      ${(/** @type {Api.Response<'assets'>} */ {assets: found}) => html`<${Table}
        caption="Assets"
        columns=${columns}
        keyOf=${(each) => each.asset_key}
        rows=${found.filter((each) => each.asset_key.toLowerCase().includes(find))}
        empty=${html`<p>
          ${
            found.length
              ? 'No asset matches. Clear the filter to see all of them.'
              : `No asset has been ${isObserved ? 'observed' : 'materialized'} yet. ` +
                'Jobs report theirs with treadle.integrations.reporting, sensors with asset events.'
          }
        </p>`}
      />`}
    <//>
  <//>`;
}

/** @param {{body: {run_id?: string}}} props */
function RunOf({body}) {
  return body.run_id
    ? html`<a href=${runAddress(body.run_id)} class="mono">${String(body.run_id).slice(0, 8)}</a>`
    : html`<span class="faint">–</span>`;
}

/** @param {{assetKey: string, before?: string, kind: Kind}} props */
function Events({assetKey, before, kind}) {
  const parameters = {key: assetKey, before, limit: PAGE, kind};
  const page = useLive((signal) => api.assetEvents(parameters, signal), before ? 0 : 5000, [
    'asset events',
    parameters,
  ]);
  /** @type {Column<Api.AssetEvent>[]} */
  const columns = [
    {name: 'Number', kind: 'number', of: (each) => each.storage_id},
    {name: 'Time', kind: 'main', of: (each) => html`<${Time} at=${each.time} />`},
    {name: 'Partition', of: (each) => html`<${Mono}>${bodyOf(each).partition ?? '–'}<//>`},
    {name: 'Run', of: (each) => html`<${RunOf} body=${bodyOf(each)} />`},
    {
      name: 'Body',
      of: (each) => html`<details><summary>Show</summary><${Text} text=${bodyOf(each)} what="body" /></details>`,
    },
  ];
  return html`<${Page} title=${assetKey} above=${html`<a href=${address(['assets'])}>Assets</a>`}>
    <${Kinds} kind=${kind} query=${{key: assetKey}} />
    <${Loaded} of=${page} what="events">
      ${({events, next}) => html`<section class="card">
        <${Table}
          caption="Events"
          columns=${columns}
          rows=${events}
          keyOf=${(each) => each.storage_id}
          empty=${html`<p>No event of this kind under this key. Keys are written as their parts joined by “/”.</p>`}
        />
        <${Pager}
          isFirst=${!before}
          next=${next}
          onFirst=${() => replaceQuery(['assets'], {key: assetKey, kind})}
          onNext=${() => replaceQuery(['assets'], {key: assetKey, before: next, kind})}
        />
      </section>`}
    <//>
  <//>`;
}
