/**
 * A tab with a terminal on a machine. The tab outlives the session: while the machine sleeps, and after a reload, it says
 * so and offers to start it; when the machine is back, the terminal is too.
 */

import { ReactWidget } from '@jupyterlab/ui-components';
import type { Terminal as TerminalSession } from '@jupyterlab/services';
import { Terminal, type ITerminal } from '@jupyterlab/terminal';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { BoxLayout, BoxPanel } from '@lumino/widgets';
import * as React from 'react';

import { acknowledge, drainOf } from './flow';
import { problemOf } from './manager';
import { PasteMode } from './shelltext';
import { ActionButton } from './views/button';
import {
  useModel,
  useView,
  ViewProvider,
  type IViewContext
} from './views/context';
import { ProblemBox } from './views/problem';
import { parseName } from './vm';
import type { Problem } from './wire';

/** Why there is no live session, when there is none. */
type Gap = 'none' | 'down' | 'opening' | 'ended' | 'failed';

export class TerminalTab extends BoxPanel {
  constructor(options: TerminalTab.IOptions) {
    super({ direction: 'top-to-bottom', spacing: 0 });
    this._options = options;
    this.name = options.name;
    this.leaseId = parseName(options.name)?.leaseId ?? '';
    this.addClass('educloud-terminal');
    this.node.tabIndex = -1;
    this._notice = new NoticeWidget(this, options.context);
    this._notice.addClass('educloud-terminalNotice');
    this.addWidget(this._notice);
    BoxLayout.setStretch(this._notice, 0);
    options.context.model.changed.connect(this._sync, this);
    void this._begin();
  }

  readonly name: string;
  readonly leaseId: string;

  /** The stock widget; null before the first session. */
  get terminal(): Terminal | null {
    return this._terminal;
  }

  get gap(): Gap {
    return this._gap;
  }

  /** Whether text that is pasted now waits for Enter, however many lines it has. */
  get takesLines(): boolean {
    return this._pasteMode.bracketed;
  }

  /** Whether the shell has been at its prompt; 'ended' when there is none any more. */
  get prompt(): 'awaited' | 'seen' | 'ended' {
    const mode = this._pasteMode;
    return mode.prompted ? 'seen' : mode.ended ? 'ended' : 'awaited';
  }

  get problem(): Problem | null {
    return this._problem;
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._options.context.model.changed.disconnect(this._sync, this);
    this._flow?.dispose();
    super.dispose();
  }

  /** Open the session, or the same one again. */
  async open(): Promise<void> {
    if (this._gap === 'opening' || this.isDisposed) {
      return;
    }
    this._setGap('opening');
    try {
      const session = await this._options.connect(this.name);
      if (this.isDisposed) {
        session.dispose();
        return;
      }
      this._show(session);
      this._problem = null;
      this._setGap('none');
    } catch (error) {
      this._problem = problemOf(error);
      this._setGap('failed');
    }
  }

  protected onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    if (this._terminal) {
      this._terminal.activate();
    } else {
      this.node.focus();
    }
  }

  /** A session that still runs is shown whatever the machine does: its scrollback is there to be read. */
  private async _begin(): Promise<void> {
    try {
      const session = await this._options.existing(this.name);
      if (session && !this.isDisposed) {
        this._show(session);
      }
    } catch {
      // Opening it says why, if it is still so.
    }
    this._begun = true;
    this._sync();
  }

  private _show(session: TerminalSession.ITerminalConnection): void {
    this._flow?.dispose();
    this._terminal?.dispose();
    const terminal = new Terminal(
      session,
      {
        ...this._options.terminalOptions(),
        // Closing a tab leaves the shell running, as a reload does; Running ends it.
        shutdownOnClose: false,
        // The end of a shell is shown, with a way to open another.
        closeOnExit: false
      },
      this._options.translator
    );
    this._terminal = terminal;
    const mode = (this._pasteMode = new PasteMode());
    session.messageReceived.connect((_, message) => {
      const output = message.content?.[0];
      if (message.type === 'stdout' && typeof output === 'string') {
        mode.take(output);
      }
    });
    this._flow = this._options.flowControl()
      ? acknowledge(session, drainOf(terminal))
      : null;
    session.disposed.connect(() => this._onEnded(session));
    this.addWidget(terminal);
    BoxLayout.setStretch(terminal, 1);
    this._options.onTerminal?.(terminal);
  }

  private _onEnded(session: TerminalSession.ITerminalConnection): void {
    if (this._terminal?.session === session && !this.isDisposed) {
      this._setGap(this._isReady() ? 'ended' : 'down');
    }
  }

  private _isReady(): boolean {
    return this._options.context.model.lease(this.leaseId)?.phase === 'ready';
  }

  /** Follow the machine: it may have gone to sleep, or be back. */
  private _sync(): void {
    const { model } = this._options.context;
    if (model.snapshot === null || !this._begun || this.isDisposed) {
      return;
    }
    const dead = this._terminal === null || this._terminal.session.isDisposed;
    if (!this._isReady()) {
      if (dead && this._gap !== 'opening' && this._gap !== 'down') {
        this._setGap('down');
      }
    } else if (dead && (this._gap === 'down' || this._gap === 'none')) {
      void this.open();
    }
    this._notice.setHidden(this._gap === 'none' && this._isReady());
  }

  private _setGap(gap: Gap): void {
    if (this.isDisposed) {
      return;
    }
    this._gap = gap;
    this._notice.setHidden(gap === 'none' && this._isReady());
    this._notice.update();
    this._options.onGap?.();
  }

  private _options: TerminalTab.IOptions;
  private _notice: ReactWidget;
  private _terminal: Terminal | null = null;
  private _flow: IDisposable | null = null;
  private _pasteMode = new PasteMode();
  private _gap: Gap = 'none';
  private _begun = false;
  private _problem: Problem | null = null;
}

export namespace TerminalTab {
  export interface IOptions {
    /** `<lease_id>-<n>`. */
    name: string;
    context: IViewContext;
    /** Connect to the session of that name if it runs; null when it does not. */
    existing(name: string): Promise<TerminalSession.ITerminalConnection | null>;
    /** Connect to the session of that name, made when it is not running. Rejects with RequestError. */
    connect(name: string): Promise<TerminalSession.ITerminalConnection>;
    /** Font, theme and the rest, as JupyterLab's own terminals have them. */
    terminalOptions(): Partial<ITerminal.IOptions>;
    flowControl(): boolean;
    translator?: ConstructorParameters<typeof Terminal>[2];
    onTerminal?(terminal: Terminal): void;
    onGap?(): void;
  }
}

class NoticeWidget extends ReactWidget {
  constructor(
    private _tab: TerminalTab,
    private _context: IViewContext
  ) {
    super();
  }

  protected render(): React.JSX.Element {
    // A new element at each update: the tab's own state is not the model's.
    return (
      <ViewProvider value={this._context}>
        <Notice tab={this._tab} />
      </ViewProvider>
    );
  }
}

function Notice(props: { tab: TerminalTab }): React.JSX.Element | null {
  const { tab } = props;
  const model = useModel();
  const { trans, actions } = useView();
  const lease = model.lease(tab.leaseId);
  if (tab.gap === 'failed' && tab.problem) {
    return (
      <ProblemBox problem={tab.problem}>
        <div className="educloud-buttons">
          <ActionButton
            name="reopen"
            label={trans.__('Try again')}
            onPress={() => void tab.open()}
          />
        </div>
      </ProblemBox>
    );
  }
  if (!lease) {
    return model.snapshot ? (
      <p role="status">{trans.__('This machine is no longer yours.')}</p>
    ) : null;
  }
  const start = lease.actions?.find(one => one.action === 'start');
  let words = lease.headline;
  let button: React.JSX.Element | null = null;
  if (tab.gap === 'opening') {
    words = trans.__('Opening a terminal on the machine of %1…', lease.lab);
  } else if (tab.gap === 'ended' && lease.phase === 'ready') {
    words = trans.__('The shell has ended.');
    button = (
      <ActionButton
        name="reopen"
        kind="accept"
        label={trans.__('Open a new one')}
        onPress={() => void tab.open()}
      />
    );
  } else if (lease.phase !== 'ready') {
    const alive = tab.terminal !== null && !tab.terminal.session.isDisposed;
    words = alive
      ? trans.__(
          '%1: the machine is not ready. When it is, press Enter in the terminal.',
          lease.lab
        )
      : trans.__(
          '%1: the machine is not ready. The terminal opens again when it is.',
          lease.lab
        );
    if (start?.enabled) {
      button = (
        <ActionButton
          name="start"
          kind="accept"
          label={trans.__('Start')}
          busy={model.pending(lease.id) === 'start'}
          onPress={() => actions.start(lease)}
        />
      );
    }
  }
  return (
    <div className="educloud-terminalBar" role="status">
      <span>{words}</span>
      {button}
    </div>
  );
}
