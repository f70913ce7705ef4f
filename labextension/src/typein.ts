/**
 * Put text at the prompt of a machine's terminal. Nothing here ever sends a line end that would run it.
 */

import { lineAt } from './shelltext';
import type { TerminalTab } from './terminaltab';
import type { Typed } from './tokens';

const OPENING_MS = 30_000;
/** A shell on a slow machine is at its first prompt within this; one that never says that it is may be there. */
const FIRST_PROMPT_MS = 20_000;
/** A shell says within this that it takes pasted lines as one piece; one that does not say so may never. */
const PROMPT_MS = 1_500;
const LOOK_MS = 50;

/** Terminals whose first prompt was waited for in vain: once is enough. */
const silent = new WeakSet<TerminalTab>();

export async function typeInto(
  tab: TerminalTab,
  text: string,
  line: number
): Promise<Typed> {
  // The widget takes text only once its screen is there.
  const open = () =>
    tab.gap === 'none' &&
    tab.terminal?.session.connectionStatus === 'connected' &&
    tab.terminal.node.querySelector('textarea') !== null;
  if (!(await until(open, OPENING_MS)) || tab.terminal === null) {
    return 'not-open';
  }
  const count = text.split('\n').length;
  if (tab.prompt !== 'seen' && !silent.has(tab)) {
    // A terminal that was just opened has no shell yet, and what is typed before there is one reaches nobody.
    const wait_ms = tab.prompt === 'ended' ? PROMPT_MS : FIRST_PROMPT_MS;
    if (!(await until(() => tab.prompt === 'seen', wait_ms))) {
      if (tab.isDisposed || tab.prompt === 'ended') {
        return 'not-open';
      }
      silent.add(tab);
    }
  } else if (count > 1 && line === 0) {
    await until(() => tab.takesLines, PROMPT_MS);
  }
  const whole = count === 1 || (tab.takesLines && line === 0);
  const piece = whole && tab.takesLines ? text : lineAt(text, line);
  if (tab.isDisposed || tab.terminal === null) {
    return 'not-open';
  }
  if (piece.includes('\n')) {
    // The screen brackets what is pasted by what it has drawn so far, and it may be behind: then each line would run.
    const lines = piece.replace(/\n/g, '\r');
    tab.terminal.session.send({
      type: 'stdin',
      content: [`\x1b[200~${lines}\x1b[201~`]
    });
  } else {
    tab.terminal.paste(piece);
  }
  tab.terminal.activate();
  return whole ? 'all' : 'line';
}

async function until(there: () => boolean, limit_ms: number): Promise<boolean> {
  for (let waited_ms = 0; !there(); waited_ms += LOOK_MS) {
    if (waited_ms >= limit_ms) {
      return false;
    }
    await new Promise(resolve => window.setTimeout(resolve, LOOK_MS));
  }
  return true;
}
