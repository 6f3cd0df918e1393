// Keyboard shortcuts: the search box, the pages by their number, neighbors of a tick, and the list of these.

import {html, useEffect, useState} from './vendor/htm-preact.js';
import {Dialog} from './dialogs.js';
import {navigate} from './router.js';

const STORED = 'treadle.shortcuts';

/**
 * Whether a key belongs to what has the focus, such as a field, or to the browser.
 *
 * @param {KeyboardEvent} event
 */
function isTaken(event) {
  const at = /** @type {HTMLElement} */ (event.target);
  const isField = /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName) || at.isContentEditable;
  return event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isField || at.closest('dialog');
}

/** @returns {HTMLElement | null} */
const searchField = () => document.querySelector('.search-box input');

/**
 * The link of the page to the record before or after the one that is shown, if there is one.
 *
 * @param {string} key
 * @returns {HTMLElement | null}
 */
const neighborLink = (key) => document.querySelector({j: 'main a[rel=prev]', k: 'main a[rel=next]'}[key] ?? 'no-link');

/** @param {{pages: [place: string, name: string][]}} props */
export function Shortcuts({pages}) {
  const [isOpen, setIsOpen] = useState(false);
  const [isOn, setIsOn] = useState(() => localStorage.getItem(STORED) !== 'off');
  useEffect(() => {
    const pressed = (/** @type {KeyboardEvent} */ event) => {
      if (isTaken(event)) return;
      const page = isOn && pages[Number(event.key) - 1];
      const neighbor = isOn && neighborLink(event.key);
      if (event.key === '?') setIsOpen(true);
      else if (event.key === '/' && isOn) searchField()?.focus();
      else if (page) navigate([page[0]]);
      else if (neighbor) neighbor.click();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [isOn, pages]);
  const turn = (/** @type {any} */ event) => {
    setIsOn(event.target.checked);
    localStorage.setItem(STORED, event.target.checked ? 'on' : 'off');
  };
  if (!isOpen) return null;
  return html`<${Dialog} title="Keyboard shortcuts" onClose=${() => setIsOpen(false)}>
    <dl class="shortcuts">
      <dt><kbd>/</kbd></dt>
      <dd>Search</dd>
      ${pages.slice(0, 9).map(
        ([place, name], index) => html`
          <dt key=${place}><kbd>${index + 1}</kbd></dt>
          <dd key=${`${place} name`}>${name}</dd>
        `,
      )}
      <dt><kbd>j</kbd></dt>
      <dd>Older tick</dd>
      <dt><kbd>k</kbd></dt>
      <dd>Newer tick</dd>
      <dt><kbd>?</kbd></dt>
      <dd>This list</dd>
      <dt><kbd>Esc</kbd></dt>
      <dd>Close a dialog</dd>
    </dl>
    <label><input type="checkbox" checked=${isOn} onchange=${turn} /> Use shortcuts of single characters</label>
  <//>`;
}
