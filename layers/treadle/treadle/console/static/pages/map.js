// Which sensors connect which jobs and assets, as a picture; each thing in it is a link.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {at, layered} from '../layout.js';
import {useLive} from '../live.js';
import {address, assetAddress, sensorAddress} from '../router.js';
import {Badge, Empty, Loaded, Page} from '../components.js';

const WIDTH = 190,
  HEIGHT = 40,
  ACROSS = 90,
  DOWN = 18,
  EDGE = 8;
const KINDS = {sensor: 'Sensor', job: 'Job', asset: 'Asset'};

/** @typedef {[x: number, y: number]} Point */

/** @param {Api.Graph['nodes'][number]} node */
const hrefOf = (node) =>
  ({
    sensor: sensorAddress(node.name),
    job: address(['runs'], {job: node.name}),
    asset: assetAddress(node.name),
  })[node.kind];

export function SensorMap() {
  const graph = useLive((signal) => api.graph(signal), 0, ['graph']);
  return html`<${Page} title="Map" actions=${html`<button onclick=${graph.refresh}>Refresh</button>`}>
    <p class="lead">
      Jobs and assets whose events or deadlines sensors receive are on the left of them, the jobs that they start on the
      right.
    </p>
    <${Loaded} of=${graph} what="the map">
      ${({nodes, edges, unknown}) => html`
        ${unknown.map(
          (/** @type {Api.Graph['unknown'][number]} */ {sensor, reason}) =>
            html`<div key=${sensor} class="notice warn">
              <${Badge} status="warning" label="Not known" />
              <p>Which job ${sensor} watches. ${reason}</p>
            </div>`,
        )}
        ${
          nodes.length
            ? html`<${Picture} nodes=${nodes} edges=${edges} />`
            : html`<${Empty}><p>Nothing to draw: no sensor is deployed yet.</p><//>`
        }
      `}
    <//>
  <//>`;
}

/** @param {Pick<Api.Graph, 'nodes' | 'edges'>} props */
function Picture({nodes, edges}) {
  const [near, setNear] = useState(/** @type {string | null} */ (null));
  const {place, paths, layers, rows} = layered(nodes, edges);
  /** @returns {Point} */
  const corner = (/** @type {{layer: number, row: number}} */ {layer, row}) => [
    EDGE + layer * (WIDTH + ACROSS),
    EDGE + row * (HEIGHT + DOWN),
  ];
  const [width, height] = [
    2 * EDGE + layers * WIDTH + (layers - 1) * ACROSS,
    2 * EDGE + rows * HEIGHT + (rows - 1) * DOWN,
  ];
  const touches = (/** @type {{edge: {from: string, to: string}}} */ {edge}) =>
    near !== null && (edge.from === near || edge.to === near);
  const shown = paths.map(({edge}) => edge);
  const names = new Map(nodes.map((node) => [node.id, node.name]));
  return html`
    <div class="map-legend" aria-hidden="true">
      ${Object.entries(KINDS).map(([kind, name]) => html`<span key=${kind} class=${`node-key ${kind}`}>${name}</span>`)}
    </div>
    <div class="map" tabindex="0" role="region" aria-label="Map of sensors, jobs and assets">
      <svg width=${width} height=${height} role="group" aria-label="Sensors, jobs and assets">
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M0 0l8 4-8 4z" class="arrow" />
          </marker>
        </defs>
        ${paths.map(
          (path) => html`<path
            key=${`${path.edge.from} ${path.edge.to}`}
            class=${`edge ${touches(path) ? 'near' : ''}`}
            marker-end="url(#arrow)"
            d=${curve(corner(at(place, path.edge.from)), path.bends.map(corner), corner(at(place, path.edge.to)))}
          />`,
        )}
        ${nodes.map(
          (node) =>
            html`<${Node}
              key=${node.id}
              node=${node}
              point=${corner(at(place, node.id))}
              edges=${shown}
              names=${names}
              setNear=${setNear}
            />`,
        )}
      </svg>
    </div>
  `;
}

/**
 * From the right side of one node, straight through the places between, to the left side of another.
 *
 * @param {Point} start
 * @param {Point[]} bends
 * @param {Point} end
 */
function curve([startX, startY], bends, [endX, endY]) {
  const middle = HEIGHT / 2;
  const stations = [
    [startX + WIDTH, startY + middle],
    ...bends.flatMap(([x, y]) => [
      [x, y + middle],
      [x + WIDTH, y + middle],
    ]),
    [endX - 1, endY + middle],
  ];
  const [[x, y], ...others] = stations;
  let [fromX, fromY, path] = [x, y, `M${x} ${y}`];
  for (const [toX, toY] of others) {
    const bend = toX > fromX ? Math.min(ACROSS, (toX - fromX) / 2) : ACROSS;
    path += `C${fromX + bend} ${fromY} ${toX - bend} ${toY} ${toX} ${toY}`;
    [fromX, fromY] = [toX, toY];
  }
  return path;
}

/**
 * @param {string} text
 * @param {number} [most]
 */
function shortened(text, most = 22) {
  return text.length > most ? `${text.slice(0, most / 2)}…${text.slice(1 - most / 2)}` : text;
}

/**
 * @param {object} props
 * @param {Api.Graph['nodes'][number]} props.node
 * @param {Point} props.point
 * @param {Api.Graph['edges']} props.edges
 * @param {Map<string, string>} props.names by id.
 * @param {(id: string | null) => void} props.setNear
 */
function Node({node, point: [x, y], edges, names, setNear}) {
  const {name} = node;
  const others = (/** @type {'from' | 'to'} */ side, /** @type {'from' | 'to'} */ other) =>
    edges
      .filter((edge) => edge[side] === node.id)
      .map((edge) => names.get(edge[other]))
      .join(', ');
  const [before, after] = [others('to', 'from'), others('from', 'to')];
  const label = [`${KINDS[node.kind]} ${name}`, before && `after ${before}`, after && `leads to ${after}`]
    .filter(Boolean)
    .join(', ');
  return html`<a
    href=${hrefOf(node)}
    class=${`node ${node.kind}`}
    aria-label=${label}
    onmouseenter=${() => setNear(node.id)}
    onmouseleave=${() => setNear(null)}
    onfocus=${() => setNear(node.id)}
    onblur=${() => setNear(null)}
  >
    <title>${label}</title>
    <rect x=${x} y=${y} width=${WIDTH} height=${HEIGHT} rx=${{sensor: 20, job: 5, asset: 12}[node.kind] ?? 5} />
    <text x=${x + WIDTH / 2} y=${y + 16} class="node-kind">${KINDS[node.kind]}</text>
    <text x=${x + WIDTH / 2} y=${y + 31} class="node-name">${shortened(name)}</text>
  </a>`;
}
