// The box at the head of every page, and what it finds: sensors, runs, and objects that sensors watch.

import {html, useEffect, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {useDeployment} from '../deployment.js';
import {useLive} from '../live.js';
import {address, navigate, replaceQuery, sensorAddress} from '../router.js';
import {Badge, Empty, Loaded, Page, Table, Time} from '../components.js';

const MOMENT = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$|^\d+ ?(s|m|min|h|d)( ago)?$/i;

/**
 * Whether a text is a time, at which a sensor did something or not.
 *
 * @param {string} text
 */
export const isMoment = (text) => MOMENT.test(text);

export function SearchBox() {
  const {sensors} = useDeployment();
  const [text, setText] = useState('');
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const given = text.trim();
    if (!given) return;
    if (isMoment(given)) navigate(['why'], {at: given, sensor: sensors.length === 1 ? sensors[0].name : undefined});
    else navigate(['search'], {text: given});
    setText('');
  };
  return html`<form class="search-box" role="search" onsubmit=${submit}>
    <label>
      <span class="unseen">Search by name, id, key or address</span>
      <input
        type="search"
        placeholder="Sensor, run, run key or s3://bucket/key"
        value=${text}
        oninput=${(event) => setText(event.target.value)}
      />
    </label>
    <button class="small">Find</button>
  </form>`;
}

/** @param {{query: Query}} props */
export function Search({query}) {
  const text = query.text ?? '';
  const found = useLive((signal) => api.search(text, signal), 0, ['search', text]);
  return html`<${Page} title="Search">
    <${Loaded} of=${found} what="the search">
      ${(/** @type {Api.Response<'search'>} */ {matches}) => html`<${Matches} text=${text} matches=${matches} />`}
    <//>
  <//>`;
}

/**
 * The page of a match.
 *
 * @param {Api.Match} match
 * @returns {[parts: string[], query?: Query]}
 */
function pageOf({kind, sensor, run_id: runId, object}) {
  if (kind === 'run' && runId) return [['runs', runId]];
  return kind === 'object' && object ? [['why'], {object, sensor}] : [['sensors', sensor]];
}

/** @param {Api.Match} match */
const nameOf = ({sensor, run_id: runId, object}) => (runId ? `Run ${runId.slice(0, 8)}` : (object ?? sensor));

/** @type {Column<Api.Match>[]} */
const COLUMNS = [
  {
    name: 'Found',
    kind: 'main',
    of: (match) => html`<a href=${address(...pageOf(match))}>${nameOf(match)}</a>`,
  },
  {
    name: 'Sensor',
    of: (match) => (match.sensor ? html`<a href=${sensorAddress(match.sensor)}>${match.sensor}</a>` : 'none'),
  },
  {name: 'Job', of: (match) => match.job ?? '–'},
  {name: 'Status', of: (match) => (match.status ? html`<${Badge} status=${match.status} />` : '–')},
  {name: 'Created', of: (match) => html`<${Time} at=${match.created_at} />`},
];

/** @param {{text: string, matches: Api.Match[]}} props */
function Matches({text, matches}) {
  const only = matches.length === 1 ? matches[0] : null;
  useEffect(() => {
    if (only) replaceQuery(...pageOf(only));
  }, [only]);
  if (only) return null;
  if (matches.length === 0)
    return html`<${Empty}>
      <p>
        Nothing was found for <span class="mono">${text}</span>. A key that has no run yet, an event or a time is
        explained for one sensor: <a href=${address(['why'], {text})}>Why did it not run?</a>
      </p>
    <//>`;
  return html`<section class="card" aria-label="Found">
    <${Table} caption="Found" columns=${COLUMNS} rows=${matches} keyOf=${(each) => each.run_id ?? each.sensor} />
  </section>`;
}
