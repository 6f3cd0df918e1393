// The console's HTTP API: the only module that knows its paths. Responses are parsed JSON, of the types that its OpenAPI document describes.

import {authorization, signInAgain} from './auth.js';

/** The server refused a request, or did not respond. `status` is the HTTP status; 0 if there was no response. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const NO_ANSWER = 'The server does not respond. Check that `treadle console` is running, and check the network.';

async function request(method, path, {query = {}, body, signal} = {}) {
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== ''));
  const headers = {Accept: 'application/json', ...authorization()};
  if (method !== 'GET') headers['X-Treadle'] = 'console';
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let answer;
  try {
    response = await fetch(`api/${path}${parameters.size ? `?${parameters}` : ''}`, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store', credentials: 'same-origin', redirect: 'error',
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, NO_ANSWER);
  }
  const content = await response.json().catch(() => null);
  if (response.ok) return content;
  if (response.status === 401) signInAgain();
  const message = typeof content?.message === 'string' ? content.message : `The server answered ${response.status} ${response.statusText}.`;
  throw new ApiError(response.status, message);
}

const sensor = (name, ...rest) => ['sensors', name, ...rest].map(encodeURIComponent).join('/');
const run = (runId, ...rest) => ['runs', runId, ...rest].map(encodeURIComponent).join('/');

const get = (path, query, signal) => request('GET', path, {query, signal});
const post = (path, body) => request('POST', path, {body: body ?? {}});

export const overview = (signal) => get('overview', {}, signal);
export const oneSensor = (name, signal) => get(sensor(name), {}, signal);
export const change = (name, action) => post(sensor(name, action));
export const changeAll = (action, sensors) => post('sensors/bulk', {action, sensors});
export const setCursor = (name, cursor, ifEpoch) => request('PUT', sensor(name, 'cursor'), {body: {cursor, if_epoch: ifEpoch}});
export const ticks = (name, query, signal) => get(sensor(name, 'ticks'), query, signal);
export const tick = (name, tickId, signal) => get(sensor(name, 'ticks', tickId), {}, signal);
export const dropTick = (name, tickId, reason) => post(sensor(name, 'ticks', tickId, 'drop'), {reason});
export const preview = (name, body) => post(sensor(name, 'preview'), body);
export const tickNow = (name) => post(sensor(name, 'tick'));
export const releaseKey = (name, runKey) => post(sensor(name, 'release'), {run_key: runKey});
export const runs = (query, signal) => get('runs', query, signal);
export const oneRun = (runId, signal) => get(run(runId), {}, signal);
export const rerun = (runId, ifAttempt) => post(run(runId, 'rerun'), {if_attempt: ifAttempt});
export const cancel = (runId, ifAttempt) => post(run(runId, 'cancel'), {if_attempt: ifAttempt});
export const assets = (signal) => get('assets', {}, signal);
export const assetEvents = (query, signal) => get('assets/events', query, signal);
export const deadLetters = (signal) => get('dead-letters', {}, signal);
export const redrive = (body) => post('dead-letters/redrive', body);
export const why = (query, signal) => get('why', query, signal);
export const doctor = (signal) => get('doctor', {}, signal);
export const graph = (signal) => get('graph', {}, signal);
