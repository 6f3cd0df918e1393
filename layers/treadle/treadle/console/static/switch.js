// Whether a sensor evaluates: shown, and switched.

import {html} from './vendor/htm-preact.js';
import * as api from './api.js';
import {useForbidden} from './deployment.js';
import {Badge, notify, useAction} from './components.js';

/**
 * The status of a sensor with its switch. `done` is called with the sensor's new view.
 *
 * @param {{sensor: Api.Sensor, done: (sensor: Api.Sensor) => void}} props
 */
export function Switch({sensor, done}) {
  const forbidden = useForbidden();
  const {busy, run} = useAction();
  const isOn = sensor.status === 'RUNNING';
  const turn = () =>
    run(async () => {
      const view = await api.change(sensor.name, isOn ? 'stop' : 'start');
      notify(isOn ? `${sensor.name} is stopped. Its cursor stays.` : `${sensor.name} is running.`);
      done(view);
    });
  return html`<span class="switch-line">
    <button
      role="switch"
      class="switch"
      aria-checked=${String(isOn)}
      aria-label=${`${sensor.name} runs`}
      disabled=${busy || forbidden !== null}
      title=${forbidden ?? (isOn ? 'Stop' : 'Start')}
      onclick=${turn}
    >
      <span></span>
    </button>
    <${Badge} status=${sensor.status} title=${sensor.paused ?? ''} />
  </span>`;
}
