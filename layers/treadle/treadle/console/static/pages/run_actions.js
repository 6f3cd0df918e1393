// What an operator can do with a run: rerun it, cancel it, release its key.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {notify} from '../components.js';
import {useForbidden} from '../deployment.js';
import {Confirm} from '../dialogs.js';
import {Release} from '../release.js';

export const ENDED = ['SUCCESS', 'FAILURE', 'CANCELED'];

/** @param {{run: Api.Run, done: () => void}} props */
export function Actions({run, done}) {
  const forbidden = useForbidden();
  const [dialog, setDialog] = useState(/** @type {string | null} */ (null));
  const ended = ENDED.includes(run.status);
  const waits = run.retry_at !== null;
  const execute = async (/** @type {() => Promise<Api.Response<'rerun'>>} */ action) => {
    const result = await action();
    notify(result?.reason ?? 'Done.');
    done();
  };
  return html`
    <button
      disabled=${forbidden !== null || !ended}
      title=${
        forbidden ?? (ended ? 'Start its next attempt, with the same config' : 'It has not ended: cancel it, or wait')
      }
      onclick=${() => setDialog('rerun')}
    >
      Rerun …
    </button>
    <button
      disabled=${forbidden !== null || (ended && !waits)}
      title=${
        forbidden ??
        (waits ? 'End it without a retry' : ended ? 'It has ended already' : 'Send its target the request to stop it')
      }
      onclick=${() => setDialog('cancel')}
    >
      Cancel …
    </button>
    ${
      run.run_key &&
      run.sensor &&
      ended &&
      !waits &&
      html`<${Release} sensor=${run.sensor} runKey=${run.run_key} done=${done} />`
    }
    ${
      dialog === 'rerun' &&
      html`<${Confirm}
        title="Rerun"
        onClose=${() => setDialog(null)}
        action=${() => execute(() => api.rerun(run.run_id, run.attempt))}
      >
        <p>
          Attempt ${run.attempt + 1} of this run starts immediately, with the same config and tags. The operator is
          recorded with the run.
        </p>
      <//>`
    }
    ${
      dialog === 'cancel' &&
      html`<${Confirm}
        title="Cancel the run"
        onClose=${() => setDialog(null)}
        action=${() => execute(() => api.cancel(run.run_id, run.attempt))}
      >
        <p>
          What it has done so far is not undone. If it has been started, its target receives the request to stop it, and
          reports the end.
        </p>
      <//>`
    }
  `;
}
