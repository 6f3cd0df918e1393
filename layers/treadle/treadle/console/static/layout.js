// Lays out a graph in layers, from left to right: what leads to something stands left of it. Pure.

const SWEEPS = 8;

/** @typedef {{from: string, to: string}} Edge */
/** @typedef {{layer: number, row: number}} Place */
/** @typedef {{edge: Edge, at: number}} Bend a place that an edge passes in a layer between its ends. */
/** @typedef {string | Bend} Station a node, by its id, or a bend. */
/**
 * @template {Station} End
 * @typedef {{from: End, to: End}} Piece
 */

/**
 * Where each node stands, and where each edge passes.
 *
 * An edge over several layers has a place of its own in each layer between, so that it passes no node.
 *
 * Returns the place of each node by its id, and of each edge the places between its two ends; rows may be fractions.
 *
 * @param {{id: string}[]} nodes
 * @param {Edge[]} edges those of unknown nodes are left out, those that close a cycle lead back.
 */
export function layered(nodes, edges) {
  const ids = nodes.map((node) => node.id);
  const known = edges.filter((edge) => edge.from !== edge.to && ids.includes(edge.from) && ids.includes(edge.to));
  const forward = new Set(withoutCycles(ids, known));
  /** @type {Map<Station, number>} */
  const layer = new Map(longestPaths(ids, forward));
  /** @type {Piece<Station>[]} */
  const pieces = [];
  /** @type {Map<Edge, Bend[]>} */
  const bendsOf = new Map();
  for (const edge of forward) {
    const between = Array.from({length: at(layer, edge.to) - at(layer, edge.from) - 1}, (_, index) => ({
      edge,
      at: at(layer, edge.from) + 1 + index,
    }));
    for (const bend of between) layer.set(bend, bend.at);
    /** @type {Station[]} */
    const stations = [edge.from, ...between, edge.to];
    stations.slice(1).forEach((to, index) => pieces.push({from: stations[index], to}));
    bendsOf.set(edge, between);
  }
  const layers = Array.from({length: Math.max(0, ...layer.values()) + 1}, () => /** @type {Station[]} */ ([]));
  for (const [thing, index] of layer) layers[index].push(thing);
  reduceCrossings(layers, pieces);
  const rows = Math.max(1, ...layers.map((each) => each.length));
  /** @type {Map<Station, Place>} */
  const place = new Map();
  layers.forEach((each, index) =>
    each.forEach((thing, row) => place.set(thing, {layer: index, row: row + (rows - each.length) / 2})),
  );
  const paths = known.map((edge) => ({edge, bends: (bendsOf.get(edge) ?? []).map((bend) => at(place, bend))}));
  return {place, paths, layers: layers.length, rows};
}

/**
 * The value of a key that is in the map.
 *
 * @template Key, Value
 * @param {Map<Key, Value>} map
 * @param {Key} key
 */
export const at = (map, key) => /** @type {Value} */ (map.get(key));

/**
 * @template {Station} End
 * @template {Piece<End>} Value
 * @param {Iterable<Value>} edges
 * @param {'from' | 'to'} by
 */
function grouped(edges, by) {
  /** @type {Map<End, Value[]>} */
  const found = new Map();
  for (const edge of edges) found.set(edge[by], [...(found.get(edge[by]) ?? []), edge]);
  return found;
}

/**
 * @param {string[]} ids
 * @param {Edge[]} edges
 */
function withoutCycles(ids, edges) {
  const leaving = grouped(edges, 'from');
  const state = new Map();
  /** @type {Edge[]} */
  const kept = [];
  const walk = (/** @type {string} */ id) => {
    state.set(id, 'open');
    for (const edge of leaving.get(id) ?? []) {
      if (state.get(edge.to) === 'open') continue;
      kept.push(edge);
      if (!state.has(edge.to)) walk(edge.to);
    }
    state.set(id, 'done');
  };
  const entered = new Set(edges.map((edge) => edge.to));
  for (const id of [...ids.filter((each) => !entered.has(each)), ...ids]) if (!state.has(id)) walk(id);
  return kept;
}

/**
 * @param {string[]} ids
 * @param {Set<Edge>} edges
 */
function longestPaths(ids, edges) {
  const [leaving, waiting] = [grouped(edges, 'from'), new Map(ids.map((id) => [id, 0]))];
  for (const {to} of edges) waiting.set(to, at(waiting, to) + 1);
  const layer = new Map(ids.map((id) => [id, 0]));
  const ready = ids.filter((id) => waiting.get(id) === 0);
  for (const id of ready) {
    for (const {to} of leaving.get(id) ?? []) {
      layer.set(to, Math.max(at(layer, to), at(layer, id) + 1));
      waiting.set(to, at(waiting, to) - 1);
      if (waiting.get(to) === 0) ready.push(to);
    }
  }
  return layer;
}

/**
 * Orders each layer by the middle of its neighbors, forward and back, so that fewer edges cross.
 *
 * @param {Station[][]} layers
 * @param {Piece<Station>[]} pieces
 */
function reduceCrossings(layers, pieces) {
  const [leaving, entering] = [grouped(pieces, 'from'), grouped(pieces, 'to')];
  const row = new Map(layers.flatMap((each) => each.map((thing, index) => [thing, index - each.length / 2])));
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const down = sweep % 2 === 0;
    const middle = (/** @type {Station} */ thing) => {
      const near = (down ? entering : leaving).get(thing) ?? [];
      return near.length
        ? near.reduce((sum, piece) => sum + at(row, down ? piece.from : piece.to), 0) / near.length
        : at(row, thing);
    };
    for (const each of down ? layers : [...layers].reverse()) {
      const places = new Map(each.map((thing) => [thing, middle(thing)]));
      each.sort((one, other) => at(places, one) - at(places, other));
      each.forEach((thing, index) => row.set(thing, index - each.length / 2));
    }
  }
}
