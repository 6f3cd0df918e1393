// Types that several modules of the page share.

/** What html`` returns, or anything else that Preact renders. */
type Content = import('preact').ComponentChildren;

/** Query of the page's address. */
type Query = Record<string, string | undefined>;

/** Choice among several: its value, and its label. */
type Option = [value: string, label: string, ...rest: unknown[]];

interface Column<Row> {
  name: string;
  kind?: string;
  head?: Content;
  of: (row: Row) => Content;
}

/** What a dialog is doing, and the result or the error of what it did last; the status is that of a response. */
interface Progress<Result> {
  busy: boolean;
  error: (Error & {status?: number}) | null;
  result: Result | null;
}
