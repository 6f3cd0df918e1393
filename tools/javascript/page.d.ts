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

/** What an action that the user confirms is doing. */
interface Progress {
  busy: boolean;
  error: Error | null;
}
