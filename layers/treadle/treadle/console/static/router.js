// Which page is shown: the part of the address after "#", so that any static host can serve the page.

import {useEffect, useState} from './vendor/htm-preact.js';

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a page, from its parts and what it is asked for; empty values are left out. */
export function address(parts, query = {}) {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== ''));
  const text = asked.toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

/** The parts and the query of an address. */
export function route(hash) {
  const [path, asked = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  return {parts: path.split('/').filter(Boolean).map(decoded), query: Object.fromEntries(new URLSearchParams(asked))};
}

/** Go to a page. */
export function go(parts, query) {
  location.hash = address(parts, query);
}

/** Show the same page for another query, without a step in the history. */
export function ask(parts, query) {
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

export const sensorAddress = (name, query) => address(['sensors', name], query);
export const tickAddress = (sensor, tickId) => address(['sensors', sensor, 'ticks', tickId]);
export const runAddress = (runId) => address(['runs', runId]);
export const assetAddress = (key) => address(['assets'], {key});
export const whyAddress = (query) => address(['why'], query);
