// Light or dark: as the system says, unless somebody chose.

import {html, useState} from './vendor/htm-preact.js';
import {Choice} from './components.js';

const KEY = 'treadle.theme';
const OPTIONS = [
  ['auto', 'Auto'],
  ['light', 'Light'],
  ['dark', 'Dark'],
];

/** @param {string} theme */
function apply(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem(KEY, theme);
}

const stored = () => {
  const found = localStorage.getItem(KEY);
  return OPTIONS.find(([name]) => name === found)?.[0] ?? 'auto';
};

apply(stored());

export function Theme() {
  const [theme, setTheme] = useState(stored());
  const choose = (/** @type {string} */ name) => {
    apply(name);
    setTheme(name);
  };
  return html`<${Choice} label="Colors" options=${OPTIONS} value=${theme} onChange=${choose} />`;
}
