// Modal dialogs: one with any content, and one that asks for confirmation.

import {html, useLayoutEffect, useRef, useState} from './vendor/htm-preact.js';
import {Problem} from './components.js';

/**
 * A modal dialog; Escape and the backdrop close it, and the focus returns to where it was.
 *
 * @param {{title: string, onClose: () => void, wide?: boolean, children?: Content}} props
 */
export function Dialog({title, onClose, wide = false, children}) {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  const outside = (/** @type {Event} */ event) => event.target === box.current && onClose();
  return html`<dialog
    ref=${box}
    class=${wide ? 'wide' : ''}
    aria-label=${title}
    onmousedown=${outside}
    oncancel=${(event) => {
      event.preventDefault();
      onClose();
    }}
  >
    <div class="dialog-body">
      <header><h2>${title}</h2><button class="small quiet" onclick=${onClose}>Close</button></header>
      ${children}
    </div>
  </dialog>`;
}

/**
 * The progress of what a dialog does: whether it is under way, and its result or error. `run` begins it.
 *
 * @template T
 * @param {T | null} [result]
 */
export function useProgress(result = null) {
  const [state, setState] = useState(/** @type {Progress<T>} */ ({busy: false, error: null, result}));
  const run = async (/** @type {() => Promise<T | null>} */ action) => {
    setState({busy: true, error: null, result: null});
    try {
      setState({busy: false, error: null, result: await action()});
    } catch (error) {
      setState({busy: false, error, result: null});
    }
  };
  const reset = () => setState({busy: false, error: null, result: null});
  return {...state, run, reset};
}

/**
 * Ask for confirmation before an action, which the title names; show the error if it fails.
 *
 * @param {{title: string, action: () => Promise<void>, onClose: () => void, children?: Content}} props
 */
export function Confirm({title, action, onClose, children}) {
  const {busy, error, run} = useProgress();
  const confirm = () => run(() => action().then(onClose));
  return html`<${Dialog} title=${title} onClose=${onClose}>
    ${children}
    ${error && html`<${Problem} error=${error} />`}
    <footer>
      <button onclick=${onClose}>Keep as it is</button>
      <button class="primary" disabled=${busy} onclick=${confirm}>${busy ? 'Working …' : title}</button>
    </footer>
  <//>`;
}
