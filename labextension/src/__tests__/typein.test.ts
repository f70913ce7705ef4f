/**
 * Typing into a terminal: whatever the screen believes, no line end goes out that would run something.
 */

import { typeInto } from '../typein';
import type { TerminalTab } from '../terminaltab';

/** A tab; its screen is behind: it does not know yet that pasted lines wait for Enter. */
function stage(
  takesLines: boolean,
  prompt: TerminalTab['prompt'] = takesLines ? 'seen' : 'awaited'
) {
  const sent: string[] = [];
  const node = document.createElement('div');
  node.append(document.createElement('textarea'));
  const tab = {
    gap: 'none',
    isDisposed: false,
    takesLines,
    prompt,
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
  const reach = (): void => {
    tab.prompt = 'seen';
    tab.takesLines = true;
  };
  return { sent, reach, tab: tab as unknown as TerminalTab };
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
  await jest.advanceTimersByTimeAsync(25_000);
  expect(await typed).toBe('line');
  expect(await typeInto(tab, 'one\ntwo', 1)).toBe('line');
  expect(sent).toEqual(['one', 'two']);
});

test.each(['one', 'one\ntwo'])(
  'nothing goes out before the shell is there to hear it: %j',
  async text => {
    const { sent, reach, tab } = stage(false);
    const typed = typeInto(tab, text, 0);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(sent).toEqual([]);
    reach();
    await jest.advanceTimersByTimeAsync(100);
    expect(await typed).toBe('all');
    expect(sent).toHaveLength(1);
    expect(sent[0]).toContain('one');
  }
);

test('a shell that never says that it is at its prompt is waited for once', async () => {
  const { sent, tab } = stage(false);
  const typed = typeInto(tab, 'one', 0);
  await jest.advanceTimersByTimeAsync(25_000);
  expect(await typed).toBe('all');
  expect(await typeInto(tab, 'two', 0)).toBe('all');
  expect(sent).toEqual(['one', 'two']);
});

test('where the shell has ended, nothing goes out and nobody is told otherwise', async () => {
  const { sent, tab } = stage(false, 'ended');
  const typed = typeInto(tab, 'one', 0);
  await jest.advanceTimersByTimeAsync(2000);
  expect(await typed).toBe('not-open');
  expect(sent).toEqual([]);
});
