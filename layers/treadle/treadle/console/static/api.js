// The console's HTTP API: the only module that knows its paths. Its OpenAPI document describes the responses.

import {authorization, signInAgain} from './auth.js';
import {searchParameters} from './router.js';

/** The server refused a request, or did not respond. `status` is the HTTP status; 0 if there was no response. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const NO_ANSWER =
  'The server does not respond. Check that the command that serves it is running, and check the network.';

/**
 * @param {string} method
 * @param {string} path
 * @param {{query?: Record<string, unknown>, body?: unknown, signal?: AbortSignal}} [options]
 */
async function request(method, path, {query = {}, body, signal} = {}) {
  const parameters = searchParameters(query);
  /** @type {Record<string, string>} */
  const headers = {Accept: 'application/json', ...authorization()};
  if (method !== 'GET') headers['X-Treadle'] = 'console';
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(`api/${path}${parameters.size ? `?${parameters}` : ''}`, {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      credentials: 'same-origin',
      redirect: 'error',
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, NO_ANSWER);
  }
  const content = await response.json().catch(() => null);
  if (response.ok) return content;
  if (response.status === 401) signInAgain();
  const message =
    typeof content?.message === 'string'
      ? content.message
      : `The server answered ${response.status} ${response.statusText}.`;
  throw new ApiError(response.status, message);
}

/**
 * @param {string} name
 * @param {string[]} rest
 */
const sensor = (name, ...rest) => ['sensors', name, ...rest].map(encodeURIComponent).join('/');
/**
 * @param {string} runId
 * @param {string[]} rest
 */
const run = (runId, ...rest) => ['runs', runId, ...rest].map(encodeURIComponent).join('/');
/**
 * @param {string} name
 * @param {string[]} rest
 */
const backfill = (name, ...rest) => ['backfills', name, ...rest].map(encodeURIComponent).join('/');
/**
 * @param {string} name
 * @param {string[]} rest
 */
const pool = (name, ...rest) => ['pools', name, ...rest].map(encodeURIComponent).join('/');

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @param {Record<string, unknown>} [query]
 */
const get = (path, signal, query) => request('GET', path, {query, signal});
/**
 * @param {string} path
 * @param {unknown} [body]
 */
const post = (path, body = {}) => request('POST', path, {body});

/** @type {(signal: AbortSignal) => Promise<Api.Overview>} */
export const overview = (signal) => get('overview', signal);
/** @type {(name: string, signal?: AbortSignal) => Promise<Api.SensorDetail>} */
export const oneSensor = (name, signal) => get(sensor(name), signal);
/** @type {(name: string, signal: AbortSignal) => Promise<Api.Batches>} */
export const batches = (name, signal) => get(sensor(name, 'batches'), signal);
/** @type {(name: string, action: Api.Body<'bulk'>['action']) => Promise<Api.Sensor>} */
export const change = (name, action) => post(sensor(name, action));
/** @type {(name: string) => Promise<Api.Sensor>} */
export const releaseLoop = (name) => post(sensor(name, 'release-loop'));
/** @type {(action: Api.Body<'bulk'>['action'], sensors: string[]) => Promise<Api.Response<'bulk'>>} */
export const changeAll = (action, sensors) => post('sensors/bulk', {action, sensors});
/** @type {(name: string, cursor: string | null, ifEpoch: number) => Promise<Api.Sensor>} */
export const setCursor = (name, cursor, ifEpoch) =>
  request('PUT', sensor(name, 'cursor'), {body: {cursor, if_epoch: ifEpoch}});
/** @type {(name: string, query: Api.Query<'ticks'>, signal: AbortSignal) => Promise<Api.Response<'ticks'>>} */
export const ticks = (name, query, signal) => get(sensor(name, 'ticks'), signal, query);
/** @type {(name: string, tickId: string, signal: AbortSignal) => Promise<Api.Tick>} */
export const tick = (name, tickId, signal) => get(sensor(name, 'ticks', tickId), signal);
/** @type {(name: string, tickId: string, reason: string) => Promise<Api.Response<'drop'>>} */
export const dropTick = (name, tickId, reason) => post(sensor(name, 'ticks', tickId, 'drop'), {reason});
/** @type {(name: string, body: Api.Body<'preview'>) => Promise<Api.Preview>} */
export const preview = (name, body) => post(sensor(name, 'preview'), body);
/** @type {(name: string) => Promise<Api.Response<'tick_now'>>} */
export const tickNow = (name) => post(sensor(name, 'tick'));
/** @type {(name: string, runKey: string) => Promise<Api.Response<'release'>>} */
export const releaseKey = (name, runKey) => post(sensor(name, 'release'), {run_key: runKey});
/** @type {(query: Api.Query<'runs'>, signal: AbortSignal) => Promise<Api.Response<'runs'>>} */
export const runs = (query, signal) => get('runs', signal, query);
/** @type {(runId: string, signal: AbortSignal) => Promise<Api.Run>} */
export const oneRun = (runId, signal) => get(run(runId), signal);
/** @type {(runId: string, ifAttempt: number) => Promise<Api.Response<'rerun'>>} */
export const rerun = (runId, ifAttempt) => post(run(runId, 'rerun'), {if_attempt: ifAttempt});
/** @type {(runId: string, ifAttempt: number) => Promise<Api.Response<'cancel'>>} */
export const cancel = (runId, ifAttempt) => post(run(runId, 'cancel'), {if_attempt: ifAttempt});
/** @type {(query: Api.Query<'backfills'>, signal: AbortSignal) => Promise<Api.Response<'backfills'>>} */
export const backfills = (query, signal) => get('backfills', signal, query);
/** @type {(name: string, signal: AbortSignal) => Promise<Api.Backfill>} */
export const oneBackfill = (name, signal) => get(backfill(name), signal);
/** @type {(name: string, query: Api.Query<'backfill_runs'>, signal: AbortSignal) => Promise<Api.BackfillRuns>} */
export const backfillRuns = (name, query, signal) => get(backfill(name, 'runs'), signal, query);
/** @type {(name: string, action: 'pause' | 'cancel' | 'retry') => Promise<Api.Response<'pause_backfill'>>} */
export const changeBackfill = (name, action) => post(backfill(name, action));
/** @type {(name: string, body: Api.Body<'resume_backfill'>) => Promise<Api.Response<'resume_backfill'>>} */
export const resumeBackfill = (name, body) => post(backfill(name, 'resume'), body);
/** @type {(signal: AbortSignal) => Promise<Api.Response<'pools'>>} */
export const pools = (signal) => get('pools', signal);
/** @type {(name: string, query: Api.Query<'pool'>, signal: AbortSignal) => Promise<Api.PoolDetails>} */
export const onePool = (name, query, signal) => get(pool(name), signal, query);
/** @type {(name: string, limit: number) => Promise<Api.Response<'set_limit'>>} */
export const setLimit = (name, limit) => post(pool(name, 'limit'), {limit});
/** @type {(name: string) => Promise<Api.Response<'reset_limit'>>} */
export const resetLimit = (name) => post(pool(name, 'reset-limit'));
/** @type {(runId: string) => Promise<Api.Response<'free_slots'>>} */
export const freeSlots = (runId) => post(run(runId, 'free-slots'));
/** @type {(runId: string, priority: number) => Promise<Api.Response<'set_priority'>>} */
export const setPriority = (runId, priority) => post(run(runId, 'priority'), {priority});
/** @type {(query: Api.Query<'assets'>, signal: AbortSignal) => Promise<Api.Response<'assets'>>} */
export const assets = (query, signal) => get('assets', signal, query);
/** @type {(query: Api.Query<'asset_events'>, signal: AbortSignal) => Promise<Api.Response<'asset_events'>>} */
export const assetEvents = (query, signal) => get('assets/events', signal, query);
/** @type {(signal: AbortSignal) => Promise<Api.Response<'dead_letters'>>} */
export const deadLetters = (signal) => get('dead-letters', signal);
/** @type {(body: Api.Body<'redrive'>) => Promise<Api.Response<'redrive'>>} */
export const redrive = (body) => post('dead-letters/redrive', body);
/** @type {(messageId: string) => Promise<Api.Response<'delete_dead_letters'>>} */
export const deleteDeadLetter = (messageId) => post('dead-letters/delete', {message_ids: [messageId]});
/** @type {(query: Api.Query<'why'>, signal: AbortSignal) => Promise<Api.Explanation>} */
export const why = (query, signal) => get('why', signal, query);
/** @type {(text: string, signal: AbortSignal) => Promise<Api.Response<'search'>>} */
export const search = (text, signal) => get('search', signal, {text});
/** @type {(signal: AbortSignal) => Promise<Api.Response<'doctor'>>} */
export const doctor = (signal) => get('doctor', signal);
/** @type {(signal: AbortSignal) => Promise<Api.Graph>} */
export const graph = (signal) => get('graph', signal);

// ---- Of `treadle dev` alone

/** @typedef {{buckets: string[], jobs: string[], deadlines: string[], webhooks: string[]}} EventTargets */

/** @type {(signal: AbortSignal) => Promise<EventTargets>} */
export const eventTargets = (signal) => get('test-events', signal);
/** @type {(event: Record<string, unknown>) => Promise<{sent: string}>} */
export const sendEvent = (event) => post('test-events', event);
