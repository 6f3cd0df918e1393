// Types of static/vendor/htm-preact.js, which comes without.

export {createContext, render} from 'preact';
export {
  useCallback,
  useContext,
  useEffect,
  useErrorBoundary,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'preact/hooks';

/** Anything; of a function, so that its parameters need no types where it is written. */
type Value = ((...parameters: any[]) => unknown) | object | string | number | bigint | boolean | null | undefined;

export function html(strings: TemplateStringsArray, ...values: Value[]): import('preact').VNode;
