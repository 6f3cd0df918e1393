// Which page is shown: the part of the address after "#", so that any static host can serve the page.

import {useEffect, useState} from './vendor/htm-preact.js';

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Query parameters of an address; empty values are left out.
 *
 * @param {Record<string, unknown>} query
 */
export function searchParameters(query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
}

/**
 * The address of a page, from its parts and its query; empty values are left out.
 *
 * @param {string[]} parts
 * @param {Record<string, unknown>} [query]
 */
export function address(parts, query = {}) {
  const text = searchParameters(query).toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

/** @typedef {{parts: string[], query: Query}} Route */

/**
 * The parts and the query of an address.
 *
 * @param {string} hash
 * @returns {Route}
 */
export function route(hash) {
  const [path, parameters = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  return {
    parts: path.split('/').filter(Boolean).map(decode),
    query: Object.fromEntries(new URLSearchParams(parameters)),
  };
}

/**
 * Go to a page.
 *
 * @param {string[]} parts
 * @param {Record<string, unknown>} [query]
 */
export function navigate(parts, query) {
  location.hash = address(parts, query);
}

/**
 * Show the same page for another query, without a step in the history.
 *
 * @param {string[]} parts
 * @param {Record<string, unknown>} [query]
 */
export function replaceQuery(parts, query) {
  history.replaceState(null, '', address(parts, query));
  dispatchEvent(new HashChangeEvent('hashchange'));
}

/** The present page. An address that is none, such as that of the skip link, changes nothing. */
export function useRoute() {
  const [present, setPresent] = useState(() => route(location.hash));
  useEffect(() => {
    const changed = () => (location.hash === '' || location.hash.startsWith('#/')) && setPresent(route(location.hash));
    addEventListener('hashchange', changed);
    changed();
    return () => removeEventListener('hashchange', changed);
  }, []);
  return present;
}

/**
 * @param {string} name
 * @param {Record<string, unknown>} [query]
 */
export const sensorAddress = (name, query) => address(['sensors', name], query);
/**
 * @param {string} sensor
 * @param {string} tickId
 */
export const tickAddress = (sensor, tickId) => address(['sensors', sensor, 'ticks', tickId]);
/** @param {string} runId */
export const runAddress = (runId) => address(['runs', runId]);
/** @param {string} name */
export const backfillAddress = (name) => address(['backfills', name]);
/**
 * @param {string} name
 * @param {string | null} [value]
 */
export const poolAddress = (name, value) => address(['pools', name], {value: value ?? undefined});
/** @param {string} key */
export const assetAddress = (key) => address(['assets'], {key});
