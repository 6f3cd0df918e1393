// Releasing a run key, so that the next request for it starts its run again.

import {html} from './vendor/htm-preact.js';
import * as api from './api.js';
import {notify, useAction} from './components.js';
import {useForbidden} from './deployment.js';

/**
 * Lets the next request for a key start its run once more.
 *
 * @param {{sensor: string, runKey: string, done?: () => void}} props
 */
export function Release({sensor, runKey, done}) {
  const forbidden = useForbidden();
  const {busy, run} = useAction();
  const release = () =>
    run(async () => {
      const result = await api.releaseKey(sensor, runKey);
      notify(result?.reason ?? `Run key ${runKey} is released: the next request for it starts its run again.`);
      done?.();
    });
  return html`<button
    class="small"
    disabled=${busy || forbidden !== null}
    title=${forbidden ?? 'Let the next request for this key start its run once more'}
    onclick=${release}
    aria-label=${`Release run key ${runKey}`}
  >
    Release key
  </button>`;
}
