/**
 * A part of a card that can be opened. Whether it is open is remembered in this browser, for all cards.
 */

import * as React from 'react';

const PREFIX = 'educloud-lab:open:';

function read(name: string): boolean {
  try {
    return window.localStorage.getItem(PREFIX + name) === 'yes';
  } catch {
    return false; // A browser may forbid it; then nothing is remembered.
  }
}

function write(name: string, open: boolean): void {
  try {
    window.localStorage.setItem(PREFIX + name, open ? 'yes' : 'no');
  } catch {
    // As above.
  }
}

export function Details(props: {
  name: string;
  summary: string;
  /** Made only once it is open. */
  render: () => React.ReactNode;
}): React.JSX.Element {
  const { name, summary } = props;
  const [open, setOpen] = React.useState(() => read(name));
  return (
    <details
      className="educloud-details"
      data-part={name}
      open={open}
      onToggle={event => {
        const now = event.currentTarget.open;
        if (now !== open) {
          setOpen(now);
          write(name, now);
        }
      }}
    >
      <summary>{summary}</summary>
      {open ? props.render() : null}
    </details>
  );
}
