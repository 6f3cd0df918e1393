// Polling: an answer of the server that is kept up to date, but not while the tab is hidden.

import {useCallback, useEffect, useRef, useState} from './vendor/htm-preact.js';

const MAX_PAUSE = 30_000;

/**
 * Request data from the server, and request it again at an interval.
 *
 * The last answer stays while the next one is awaited, and when that fails.
 *
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load requests the data.
 * @param {number} every milliseconds between an answer and the next request; 0 to request once.
 * @param {unknown} dependencies what the request depends on; another value forgets the answer and requests again.
 * @returns {Live<T>}
 */
export function useLive(load, every, dependencies) {
  const key = JSON.stringify(dependencies);
  const [state, setState] = useState(/** @type {State<T>} */ ({key, data: undefined, error: null}));
  const pending = useRef(/** @type {AbortController | null} */ (null));
  const latest = useRef({load, every});
  latest.current = {load, every};

  const refresh = useRef(() => {});
  useEffect(() => {
    /** @type {number | undefined} */
    let timer;
    let pause = 0;
    let isStopped = false;

    const schedule = () => {
      clearTimeout(timer);
      const interval = latest.current.every;
      if (!isStopped && interval && document.visibilityState === 'visible') {
        timer = setTimeout(poll, Math.max(interval, pause));
      }
    };
    const poll = async () => {
      clearTimeout(timer);
      pending.current?.abort();
      const controller = (pending.current = new AbortController());
      try {
        const data = await latest.current.load(controller.signal);
        pause = 0;
        if (!isStopped && controller === pending.current) setState({key, data, error: null});
      } catch (caught) {
        const error = /** @type {Error} */ (caught);
        if (isStopped || controller !== pending.current || error.name === 'AbortError') return;
        pause = Math.min(MAX_PAUSE, 2 * Math.max(pause, latest.current.every));
        setState((before) => ({key, data: before.key === key ? before.data : undefined, error}));
      }
      if (controller === pending.current) schedule();
    };
    const onVisibilityChange = () => {
      if (document.visibilityState !== 'visible') clearTimeout(timer);
      else if (latest.current.every) poll();
    };

    refresh.current = poll;
    document.addEventListener('visibilitychange', onVisibilityChange);
    poll();
    return () => {
      isStopped = true;
      clearTimeout(timer);
      pending.current?.abort();
      document.removeEventListener('visibilitychange', onVisibilityChange);
    };
  }, [key]);

  const replace = useCallback(
    (/** @type {T} */ data) => {
      pending.current?.abort();
      setState({key, data, error: null});
      refresh.current();
    },
    [key],
  );
  const {data, error} = state.key === key ? state : {data: undefined, error: null};
  return {data, error, refresh: () => refresh.current(), replace};
}

/**
 * @template T
 * @typedef {{key: string, data: T | undefined, error: Error | null}} State
 */

/**
 * Data that is kept up to date: `data` is undefined until the first answer, and `error` is null unless the last
 * request failed. `refresh` requests it now; `replace` shows data that is known from elsewhere.
 *
 * @template T
 * @typedef {{data: T | undefined, error: Error | null, refresh: () => void, replace: (data: T) => void}} Live
 */
