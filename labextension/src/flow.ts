/**
 * Terminal flow control: the page tells the server how much output the terminal has really shown
 * (docs/explanation/terminals.md), so that a flood waits on the machine and not in the browser.
 */

import type { Terminal as TerminalSession } from '@jupyterlab/services';
import type { ITerminal } from '@jupyterlab/terminal';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

/** The sum at which an acknowledgement is sent. */
export const ACK_BYTES = 65_536;

/** Calls back when the terminal has worked through everything that it was given so far. */
export type Drain = (done: () => void) => void;

/**
 * Acknowledge what a session's terminal has shown, until disposed.
 *
 * @param session - The stock connection; its socket is used as it is.
 * @param drain - The terminal's.
 */
export function acknowledge(
  session: TerminalSession.ITerminalConnection,
  drain: Drain
): IDisposable {
  // Counts connections: an acknowledgement must not reach another socket than its output came from.
  let connection = 0;
  let counting = false;
  let sum_bytes = 0;

  const send = (type: 'flow' | 'ack', n: number) => {
    if (session.connectionStatus === 'connected') {
      // The stock protocol's type knows only the stock messages; the connection sends any.
      const message: unknown = { type, content: [n] };
      session.send(message as TerminalSession.IMessage);
    }
  };
  const onStatus = () => {
    connection += 1;
    counting = false;
    sum_bytes = 0;
    send('flow', 1);
  };
  const onMessage = (
    _: TerminalSession.ITerminalConnection,
    message: TerminalSession.IMessage
  ) => {
    if ((message.type as string) === 'flow') {
      counting = true;
      sum_bytes = 0;
      return;
    }
    const n_bytes = message.content?.[1];
    if (message.type !== 'stdout' || !counting || typeof n_bytes !== 'number') {
      return;
    }
    const from = connection;
    // After the widget has taken this message too, whichever of us listened first.
    queueMicrotask(() =>
      drain(() => {
        if (from !== connection) {
          return;
        }
        sum_bytes += n_bytes;
        if (sum_bytes >= ACK_BYTES) {
          send('ack', sum_bytes);
          sum_bytes = 0;
        }
      })
    );
  };

  session.connectionStatusChanged.connect(onStatus);
  session.messageReceived.connect(onMessage);
  if (session.connectionStatus === 'connected') {
    onStatus();
  }
  return new DisposableDelegate(() => {
    connection += 1;
    session.connectionStatusChanged.disconnect(onStatus);
    session.messageReceived.disconnect(onMessage);
  });
}

/** The part of xterm.js that is used. */
interface IXterm {
  write(data: string, callback?: () => void): void;
}

/**
 * The drain of JupyterLab's Terminal widget: an empty write is called back when all before it is parsed.
 *
 * The widget keeps its xterm.js to itself, so it is looked for; where it is not found, the next frame on the screen (or a
 * short while, in a tab that is not shown) stands for it.
 */
export function drainOf(
  widget: ITerminal.ITerminal & { ready?: Promise<void> }
): Drain {
  const find = () => (widget as unknown as { _term?: IXterm })._term;
  const later: Drain = done => {
    let called = false;
    const once = () => {
      if (!called) {
        called = true;
        done();
      }
    };
    requestAnimationFrame(once);
    window.setTimeout(once, 250);
  };
  return done => {
    const drain = () => {
      const xterm = find();
      if (typeof xterm?.write === 'function') {
        xterm.write('', done);
      } else {
        later(done);
      }
    };
    if (find() === undefined && widget.ready) {
      // Still loading: the widget keeps what comes until then.
      void widget.ready.then(drain, () => later(done));
    } else {
      drain();
    }
  };
}
