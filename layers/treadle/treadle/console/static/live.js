// What the server says, kept up to date: asked again every few seconds, but not while the tab is hidden.

import {useCallback, useEffect, useRef, useState} from './vendor/htm-preact.js';

const LONGEST_PAUSE = 30_000;

/**
 * Ask the server, and ask again.
 *
 * What was last received stays while the next answer is awaited, and when it does not come.
 *
 * Args:
 *   load: called with an AbortSignal; gives a promise of the answer.
 *   every: milliseconds between an answer and the next question; 0 to ask once.
 *   about: what the question depends on; another value forgets the answer and asks again.
 *
 * Returns {data, error, refresh, replace}: `data` is undefined until the first answer, `error` null while all is
 * well; `refresh()` asks now; `replace(data)` shows what is known from elsewhere.
 */
export function useLive(load, every, about) {
  const key = JSON.stringify(about);
  const [state, setState] = useState({key, data: undefined, error: null});
  const asking = useRef(null);
  const latest = useRef({load, every});
  latest.current = {load, every};

  const refresh = useRef(() => {});
  useEffect(() => {
    let timer = null, pause = 0, over = false;

    const again = () => {
      clearTimeout(timer);
      const {every: rest} = latest.current;
      if (!over && rest && document.visibilityState === 'visible') timer = setTimeout(hear, Math.max(rest, pause));
    };
    const hear = async () => {
      clearTimeout(timer);
      asking.current?.abort();
      const mine = (asking.current = new AbortController());
      try {
        const data = await latest.current.load(mine.signal);
        pause = 0;
        if (!over && mine === asking.current) setState({key, data, error: null});
      } catch (error) {
        if (over || mine !== asking.current || error.name === 'AbortError') return;
        pause = Math.min(LONGEST_PAUSE, 2 * Math.max(pause, latest.current.every));
        setState((before) => ({key, data: before.key === key ? before.data : undefined, error}));
      }
      if (mine === asking.current) again();
    };
    const seen = () => (document.visibilityState === 'visible' ? latest.current.every && hear() : clearTimeout(timer));

    refresh.current = hear;
    document.addEventListener('visibilitychange', seen);
    hear();
    return () => {
      over = true;
      clearTimeout(timer);
      asking.current?.abort();
      document.removeEventListener('visibilitychange', seen);
    };
  }, [key]);

  const replace = useCallback((data) => {
    asking.current?.abort();
    setState({key, data, error: null});
    refresh.current();
  }, [key]);
  const mine = state.key === key ? state : {data: undefined, error: null};
  return {data: mine.data, error: mine.error, refresh: () => refresh.current(), replace};
}
