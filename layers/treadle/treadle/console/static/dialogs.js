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
 * Ask for confirmation before an action; show the error if it fails.
 *
 * @param {{title: string, label: string, action: () => Promise<void>, onClose: () => void, children?: Content}} props
 */
export function Confirm({title, label, action, onClose, children}) {
  const [state, setState] = useState(/** @type {Progress} */ ({busy: false, error: null}));
  const confirm = async () => {
    setState({busy: true, error: null});
    try {
      await action();
      onClose();
    } catch (error) {
      setState({busy: false, error});
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    ${children}
    ${state.error && html`<${Problem} error=${state.error} />`}
    <footer>
      <button onclick=${onClose}>Keep as it is</button>
      <button class="primary" disabled=${state.busy} onclick=${confirm}>${state.busy ? 'Working …' : label}</button>
    </footer>
  <//>`;
}
