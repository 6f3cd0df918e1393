// What every page needs of the deployment: its sensors, its name, and what the viewer may do.

import {createContext, useContext} from './vendor/htm-preact.js';

export const Deployment = createContext(
  /** @type {{stack: string, role: string, sensors: Api.Sensor[]}} */ ({stack: '', role: 'viewer', sensors: []}),
);

export const useDeployment = () => useContext(Deployment);

/** Why the caller may not change anything; null if they may. */
export function useForbidden() {
  const {role} = useContext(Deployment);
  return role === 'operator' ? null : `Your role is ${role}: changes require the role operator.`;
}

/**
 * Labels of the kinds of sensors.
 *
 * @type {Record<string, string>}
 */
export const KINDS = {
  schedule: 'Schedule',
  s3: 'S3 objects',
  run_status: 'Run status',
  all_succeeded: 'All jobs succeeded',
  asset: 'Asset',
  multi_asset: 'Several assets',
  assets_updated: 'Assets updated',
  deadline: 'Deadline',
  event: 'EventBridge events',
  queue: 'Queue messages',
  stream: 'Stream records',
  webhook: 'HTTPS requests',
  unknown: 'Unknown',
};

/** @param {string} kind */
export const kindLabel = (kind) => KINDS[kind] ?? kind;

/** @type {Record<Api.SensorProblem['kind'], [group: 'failing' | 'late' | 'unchecked', label: string]>} */
const PROBLEMS = {
  UNREADABLE: ['failing', 'Not found'],
  REGISTRATION: ['failing', 'Misregistered'],
  OWNERSHIP: ['failing', 'Another project’s'],
  NOT_LOADING: ['failing', 'Does not load'],
  FAILING: ['failing', 'Failing'],
  LATE: ['late', 'Late'],
  BLOCKED: ['late', 'Blocked'],
  NO_EVENTS: ['late', 'No events'],
  LOOP: ['failing', 'Held as a loop'],
  UNCHECKED: ['unchecked', 'Not checked'],
};

/**
 * The label of a problem of a sensor.
 *
 * @param {Api.SensorProblem} problem
 */
export const problemLabel = (problem) => PROBLEMS[problem.kind]?.[1] ?? problem.kind;

/**
 * @param {Api.Sensor} sensor
 * @param {string} group
 */
const has = (sensor, group) => (sensor.problems ?? []).some((problem) => PROBLEMS[problem.kind]?.[0] === group);

/**
 * Whether its evaluations fail, or its function does not load.
 *
 * @param {Api.Sensor} sensor
 */
export const isFailing = (sensor) => has(sensor, 'failing');

/**
 * Whether it is not evaluated although it should be.
 *
 * @param {Api.Sensor} sensor
 */
export const isLate = (sensor) => has(sensor, 'late');

/**
 * Whether it is not known if its function loads.
 *
 * @param {Api.Sensor} sensor
 */
export const isUnchecked = (sensor) => has(sensor, 'unchecked');

const EVENT_KINDS = ['run_status', 'asset', 'deadline', 'event', 'queue', 'stream', 'webhook'];

/**
 * Whether a sensor evaluates ticks; others evaluate events alone.
 *
 * @param {Api.Sensor} sensor
 */
export const doesTick = (sensor) => !EVENT_KINDS.includes(sensor.kind);
export const NO_TICKS = 'It evaluates only events, as they arrive';
