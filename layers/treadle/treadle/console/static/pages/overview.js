// All sensors: how each stands, and starting and stopping several at once.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {isFailing, isLate, kindLabel, problemLabel, useForbidden} from '../deployment.js';
import {count, duration} from '../format.js';
import {replaceQuery, sensorAddress} from '../router.js';
import {Badge, Choice, Page, Problem, Table, Time} from '../components.js';
import {Dialog, useProgress} from '../dialogs.js';
import {Switch} from '../switch.js';
import {Sparkline, stateOf, tickSummary} from '../timeline.js';

/** @param {Api.Sensor} sensor */
const isTroubled = (sensor) => (sensor.recent ?? []).some((tick) => tick.trouble);

/** @type {[value: string, label: string, matches: (sensor: Api.Sensor) => boolean][]} */
const CHOICES = [
  ['', 'All', () => true],
  ['running', 'Running', (sensor) => sensor.status === 'RUNNING'],
  ['stopped', 'Stopped', (sensor) => sensor.status === 'STOPPED'],
  ['paused', 'Paused', (sensor) => sensor.status === 'PAUSED'],
  ['failing', 'Failing', isFailing],
  ['late', 'Late', isLate],
  ['troubled', 'Held or refused', isTroubled],
];

/**
 * @param {Api.Sensor} sensor
 * @param {Query} query
 */
function matches(sensor, {find = '', show = ''}) {
  const [, , chosen] = CHOICES.find(([name]) => name === show) ?? CHOICES[0];
  const text = [sensor.name, sensor.kind, kindLabel(sensor.kind), sensor.description, ...(sensor.jobs ?? [])]
    .join(' ')
    .toLowerCase();
  return (
    chosen(sensor) &&
    find
      .toLowerCase()
      .split(/\s+/)
      .every((each) => text.includes(each))
  );
}

/**
 * @param {object} props
 * @param {import('../live.js').Live<Api.Overview>} props.live
 * @param {Api.Overview} props.overview its data
 * @param {Query} props.query
 */
export function Overview({live: {refresh, replace}, overview, query}) {
  const [chosen, setChosen] = useState(/** @type {Set<string>} */ (new Set()));
  const [bulk, setBulk] = useState(/** @type {Bulk | null} */ (null));
  const {sensors} = overview;
  const shown = sensors.filter((sensor) => matches(sensor, query));
  const selected = shown.filter((sensor) => chosen.has(sensor.name)).map((sensor) => sensor.name);
  const filter = (/** @type {Query} */ change) => replaceQuery(['sensors'], {...query, ...change});
  const changed = (/** @type {Api.Sensor} */ view) =>
    replace({...overview, sensors: sensors.map((each) => (each.name === view.name ? {...each, ...view} : each))});

  return html`<${Page} title="Sensors">
    <${Summary} sensors=${sensors} />
    <div class="toolbar">
      <label class="field grow">
        <span class="unseen">Filter sensors</span>
        <input
          type="search"
          placeholder="Filter by name, kind, job …"
          value=${query.find ?? ''}
          oninput=${(event) => filter({find: event.target.value})}
        />
      </label>
      <${Choice}
        label="Show sensors that are"
        options=${CHOICES}
        value=${query.show ?? ''}
        onChange=${(show) => filter({show})}
      />
    </div>
    <${BulkBar} selected=${selected} onAct=${setBulk} onNone=${() => setChosen(new Set())} />
    <${SensorTable}
      sensors=${shown}
      hasAny=${sensors.length > 0}
      chosen=${chosen}
      setChosen=${setChosen}
      changed=${changed}
    />
    ${bulk && html`<${BulkDialog} ...${bulk} refresh=${refresh} onClose=${() => setBulk(null)} />`}
  <//>`;
}

/** @param {{sensors: Api.Sensor[]}} props */
function Summary({sensors}) {
  const sum = (/** @type {(sensor: Api.Sensor) => number | boolean} */ of) =>
    sensors.reduce((total, sensor) => total + Number(of(sensor)), 0);
  /** @type {[name: string, status: string, number: number][]} */
  const figures = [
    ['running', 'RUNNING', sum((each) => each.status === 'RUNNING')],
    ['stopped', 'STOPPED', sum((each) => each.status === 'STOPPED')],
    ['paused', 'PAUSED', sum((each) => each.status === 'PAUSED')],
    ['failing', 'FAILURE', sum(isFailing)],
    ['late', 'LATE', sum(isLate)],
    ['held or refused', 'HELD', sum(isTroubled)],
  ];
  return html`<ul class="summary">
    ${figures.map(
      ([name, status, number]) =>
        html`<li key=${name} class=${number && status !== 'RUNNING' && status !== 'STOPPED' ? 'loud' : ''}>
          <${Badge} status=${status} label=${name} />
          <b>${number}</b>
        </li>`,
    )}
    <li key="runs"><span class="faint">runs in 24 h</span><b>${sum((each) => each.runs_24h)}</b></li>
    <li key="failures"><span class="faint">failures in 24 h</span><b>${sum((each) => each.failures_24h)}</b></li>
  </ul>`;
}

/**
 * @param {object} props
 * @param {Api.Sensor[]} props.sensors
 * @param {boolean} props.hasAny
 * @param {Set<string>} props.chosen
 * @param {(chosen: Set<string>) => void} props.setChosen
 * @param {(sensor: Api.Sensor) => void} props.changed
 */
function SensorTable({sensors, hasAny, chosen, setChosen, changed}) {
  const all = sensors.length > 0 && sensors.every((sensor) => chosen.has(sensor.name));
  const toggle = (/** @type {string} */ name) => {
    const next = new Set(chosen);
    if (!next.delete(name)) next.add(name);
    setChosen(next);
  };
  /** @type {Column<Api.Sensor>[]} */
  const columns = [
    {
      name: 'Choose',
      kind: 'narrow pick',
      head: html`<input
        type="checkbox"
        aria-label="Choose all sensors shown"
        checked=${all}
        onchange=${() => setChosen(new Set(all ? [] : sensors.map((each) => each.name)))}
      />`,
      of: (each) =>
        html`<input
          type="checkbox"
          aria-label=${`Choose ${each.name}`}
          checked=${chosen.has(each.name)}
          onchange=${() => toggle(each.name)}
        />`,
    },
    {
      name: 'Sensor',
      kind: 'main',
      of: (each) =>
        html`
          <a href=${sensorAddress(each.name)} class="strong">${each.name}</a>
          <small class="faint clip" title=${each.description}>${each.description}</small>
          <${FirstProblem} problems=${each.problems ?? []} />
        `,
    },
    {name: 'Kind', of: (each) => kindLabel(each.kind)},
    {
      name: 'Status',
      of: (each) => html`
        <${Switch} sensor=${each} done=${changed} />
        ${
          each.outside_until &&
          html`<small class="faint">outside its hours until <${Time} at=${each.outside_until} /></small>`
        }
      `,
    },
    {name: 'Last tick', of: (each) => html`<${LastTick} tick=${each.last_tick} />`},
    {
      name: 'Next',
      of: (each) => html`<${Time} at=${each.next_tick_at} ago none=${each.status === 'RUNNING' ? 'on event' : '–'} />`,
    },
    {
      name: 'Lag',
      kind: 'number',
      of: (each) =>
        each.lag_seconds === null || each.lag_seconds === undefined
          ? html`<span class="faint">–</span>`
          : duration(each.lag_seconds * 1000),
    },
    {name: 'Runs 24 h', kind: 'number', of: (each) => each.runs_24h},
    {
      name: 'Failed',
      kind: 'number',
      of: (each) => html`<span class=${each.failures_24h ? 'bad-text' : 'faint'}>${each.failures_24h}</span>`,
    },
    {name: 'Last ticks', of: (each) => html`<${Sparkline} recent=${each.recent} />`},
  ];
  const empty = hasAny
    ? html`<p>No sensor matches. Clear the filter to see all of them.</p>`
    : html`<p>
      No sensor is deployed yet. Write the first one: <code>treadle new sensor my_sensor</code>
      , then deploy.
    </p>`;
  return html`<${Table}
    caption="Sensors"
    columns=${columns}
    rows=${sensors}
    keyOf=${(each) => each.name}
    empty=${empty}
    rowClass=${(each) => (isFailing(each) || isLate(each) ? 'failing' : '')}
  />`;
}

/**
 * The cause of what is wrong with a sensor; its page has all of it.
 *
 * @param {{problems: Api.SensorProblem[]}} props
 */
function FirstProblem({problems: [first]}) {
  if (!first) return null;
  const {kind, message, advice} = first;
  return html`<small class="problem-line" title=${`${message} ${advice}`}>
    <${Badge} status=${kind === 'UNCHECKED' ? 'warning' : 'FAILURE'} label=${problemLabel(first)} /> ${message}
  </small>`;
}

/** @param {{tick: Api.TickOutline | null}} props */
export function LastTick({tick}) {
  if (!tick) return html`<span class="faint">none yet</span>`;
  const label = tick.skips > 1 ? `Skipped × ${tick.skips}` : undefined;
  return html`<span class="pair">
    <${Badge} status=${stateOf(tick)} label=${label} title=${tickSummary(tick)} />
    <small class="faint"><${Time} at=${tick.last_time ?? tick.time} ago /></small>
  </span>`;
}

/** @typedef {{action: Action, sensors: string[]}} Bulk */
/** @typedef {'start' | 'stop' | 'reset'} Action */

/** @type {Record<Action, [verb: string, done: string]>} */
const ACTIONS = {start: ['Start', 'started'], stop: ['Stop', 'stopped'], reset: ['Reset', 'reset']};

/** @param {{selected: string[], onAct: (bulk: Bulk) => void, onNone: () => void}} props */
function BulkBar({selected, onAct, onNone}) {
  const forbidden = useForbidden();
  if (selected.length === 0) return null;
  return html`<div class="bulk" role="group" aria-label="What to do with the chosen sensors">
    <b>${count(selected.length, 'sensor')} chosen</b>
    ${
      /** @type {Action[]} */ (Object.keys(ACTIONS)).map(
        (action) =>
          html`<button
          key=${action}
          class="small"
          disabled=${forbidden !== null}
          title=${forbidden}
          onclick=${() => onAct({action, sensors: selected})}
        >
          ${ACTIONS[action][0]}
        </button>`,
      )
    }
    ${forbidden && html`<span class="faint">${forbidden}</span>`}
    <button class="small quiet" onclick=${onNone}>Choose none</button>
  </div>`;
}

/** @param {Bulk & {refresh: () => void, onClose: () => void}} props */
function BulkDialog({action, sensors, refresh, onClose}) {
  const {busy, error, result, run} = useProgress(/** @type {Api.BulkResult[] | null} */ (null));
  const [verb, done] = ACTIONS[action];
  const act = () =>
    run(async () => {
      const {results} = await api.changeAll(action, sensors);
      refresh();
      return results;
    });
  if (result) return html`<${BulkResults} results=${result} verb=${verb} done=${done} onClose=${onClose} />`;
  return html`<${Dialog} title=${`${verb} ${count(sensors.length, 'sensor')}`} onClose=${onClose}>
    <p>${count(sensors.length, 'sensor')} will be ${done}. Do you want to continue?</p>
    <ul class="names">${sensors.map((name) => html`<li key=${name} class="mono">${name}</li>`)}</ul>
    ${error && html`<${Problem} error=${error} />`}
    <footer>
      <button onclick=${onClose}>Keep as it is</button>
      <button class="primary" disabled=${busy} onclick=${act}>${busy ? 'Working …' : verb}</button>
    </footer>
  <//>`;
}

/** @param {{results: Api.BulkResult[], verb: string, done: string, onClose: () => void}} props */
function BulkResults({results, verb, done, onClose}) {
  const [good, bad] = [results.filter((each) => each.ok), results.filter((each) => !each.ok)];
  return html`<${Dialog} title=${verb} onClose=${onClose}>
    <div role="status">
      ${good.length > 0 && html`<p>Successfully ${done} ${count(good.length, 'sensor')}.</p>`}
      ${bad.length > 0 && html`<p>Could not ${verb.toLowerCase()} ${count(bad.length, 'sensor')}.</p>`}
    </div>
    <ul class="results">
      ${[...bad, ...good].map(
        (each) =>
          html`<li key=${each.sensor}>
            <${Badge} status=${each.ok ? 'SUCCESS' : 'FAILURE'} label=${each.ok ? 'Done' : 'Not done'} />
            <span class="mono">${each.sensor}</span>
            <span class="faint">${each.message}</span>
          </li>`,
      )}
    </ul>
    <footer><button class="primary" onclick=${onClose}>Close</button></footer>
  <//>`;
}
