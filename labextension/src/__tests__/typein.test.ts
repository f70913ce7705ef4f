/**
 * Typing into a terminal: whatever the screen believes, no line end goes out that would run something.
 */

import { typeInto } from '../typein';
import type { TerminalTab } from '../terminaltab';

/** A tab; its screen is behind: it does not know yet that pasted lines wait for Enter. */
function stage(takesLines: boolean) {
  const sent: string[] = [];
  const node = document.createElement('div');
  node.append(document.createElement('textarea'));
  const tab = {
    gap: 'none',
    isDisposed: false,
    takesLines,
    terminal: {
      node,
      session: {
        connectionStatus: 'connected',
        send: (message: { content: string[] }) => sent.push(message.content[0])
      },
      paste: (text: string) => sent.push(text.replace(/\r?\n/g, '\r')),
      activate: () => undefined
    }
  };
  return { sent, tab: tab as unknown as TerminalTab };
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

test('several lines go out as one piece, though the screen does not know yet that it may be', async () => {
  const { sent, tab } = stage(true);
  expect(await typeInto(tab, 'one\ntwo', 0)).toBe('all');
  expect(sent).toEqual(['\x1b[200~one\rtwo\x1b[201~']);
});

test('one line goes out as it is', async () => {
  const { sent, tab } = stage(true);
  expect(await typeInto(tab, 'one', 0)).toBe('all');
  expect(sent).toEqual(['one']);
});

test('where lines would run, one goes out', async () => {
  const { sent, tab } = stage(false);
  const typed = typeInto(tab, 'one\ntwo', 0);
  await jest.advanceTimersByTimeAsync(5000);
  expect(await typed).toBe('line');
  expect(await typeInto(tab, 'one\ntwo', 1)).toBe('line');
  expect(sent).toEqual(['one', 'two']);
});
