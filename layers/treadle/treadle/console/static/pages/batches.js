// The open batches of a sensor: what waits for them, and when they are closed.

import {html} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {count} from '../format.js';
import {useLive} from '../live.js';
import {Loaded, Table, Time} from '../components.js';

/**
 * Whether sensors of its kind may have batches.
 *
 * @param {Api.Sensor} sensor
 */
export const takesBatches = ({kind}) => KINDS.includes(kind);

const KINDS = ['s3', 'event', 'queue', 'webhook', 'stream', 'run_status', 'asset'];

/** @type {Column<Api.OpenBatch>[]} */
const COLUMNS = [
  {name: 'By', kind: 'main', of: (each) => each.by || html`<span class="faint">all items</span>`},
  {name: 'Items', kind: 'number', of: (each) => `${each.items}${each.is_more ? ' or more' : ''}`},
  {name: 'Bytes', kind: 'number', of: (each) => each.bytes},
  {name: 'Oldest item', of: (each) => html`<${Time} at=${each.oldest_at} />`},
  {
    name: 'Closes at',
    of: (each) => (each.closes_at === null ? 'is being closed' : html`<${Time} at=${each.closes_at} ago />`),
  },
  {
    name: 'Failures',
    of: (each) =>
      each.failures
        ? html`<span class="bad-text">${each.failures} in a row</span> <small class="faint">${each.reason}</small>`
        : 'none',
  },
];

/** @param {{sensor: string}} props */
export function Batches({sensor}) {
  const batches = useLive((signal) => api.batches(sensor, signal), 30_000, ['batches', sensor]);
  return html`<${Loaded} of=${batches} what="batches">
    ${(/** @type {Api.Batches} */ found) => html`
      <${Table}
        caption="Open batches"
        columns=${COLUMNS}
        rows=${found.batches}
        keyOf=${(each) => each.by}
        empty=${html`<p>No item waits for a batch.</p>`}
      />
      ${found.omitted > 0 && html`<p class="faint">${count(found.omitted, 'more batch', 'more batches')} open.</p>`}
    `}
  <//>`;
}
