/**
 * Buttons under the shell blocks of a lab's text, which type them into the machine's terminal. They stand beside the
 * rendered Markdown, never in it: nothing of them is saved, and each rendering gets new ones.
 */

import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import { readChoice } from './choose';
import { blockKind, isPlain, typedText } from './shelltext';
import type { ICloudModel, ILabChoice, IMachineTerminals } from './tokens';
import type { Lease } from './wire';

const BLOCK_CLASS = 'educloud-typein';
const SAID_MS = 6_000;

export interface IBlocksOptions {
  tracker: INotebookTracker;
  model: ICloudModel;
  terminals: IMachineTerminals;
  trans: TranslationBundle;
  /** Start the machine of a lab, or make it. */
  start(choice: ILabChoice): void;
}

/** Give all notebooks that name a lab their buttons, those that are opened later too. */
export function followNotebooks(options: IBlocksOptions): void {
  const begin = (panel: NotebookPanel) => {
    const blocks = new NotebookBlocks(panel, options);
    panel.disposed.connect(() => blocks.dispose());
  };
  options.tracker.forEach(begin);
  options.tracker.widgetAdded.connect((_, panel) => begin(panel));
}

/** The buttons of one notebook. */
export class NotebookBlocks {
  constructor(
    private _panel: NotebookPanel,
    private _options: IBlocksOptions
  ) {
    this._observer = new MutationObserver(records => {
      if (records.some(one => touchesText(one))) {
        this._schedule();
      }
    });
    this._observer.observe(_panel.content.node, {
      childList: true,
      subtree: true
    });
    _options.model.changed.connect(this._refresh, this);
    void _panel.context.ready.then(() => {
      if (!this._disposed) {
        _panel.model?.metadataChanged.connect(this._schedule, this);
        this._schedule();
      }
    });
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    this._observer.disconnect();
    this._options.model.changed.disconnect(this._refresh, this);
    this._panel.model?.metadataChanged.disconnect(this._schedule, this);
    this._buttons.clear();
  }

  /** Once for all that is rendered in one go. */
  private _schedule(): void {
    if (this._waiting || this._disposed) {
      return;
    }
    this._waiting = true;
    window.setTimeout(() => {
      this._waiting = false;
      if (!this._disposed) {
        this._scan();
      }
    }, 0);
  }

  private _scan(): void {
    const choice = readChoice(this._panel.model?.getMetadata('educloud'));
    for (const [node, button] of this._buttons) {
      if (!node.isConnected || !choice) {
        node.remove();
        this._buttons.delete(node);
      } else {
        button.choose(choice);
      }
    }
    if (!choice) {
      return;
    }
    const blocks = this._panel.content.node.querySelectorAll<HTMLElement>(
      '.jp-MarkdownCell .jp-RenderedMarkdown pre > code[class*="language-"]'
    );
    for (const code of blocks) {
      const pre = code.parentElement;
      const language = /(?:^|\s)language-(\S+)/.exec(code.className)?.[1];
      const kind = blockKind(language ?? '');
      if (!pre || !kind || pre.nextElementSibling?.matches(`.${BLOCK_CLASS}`)) {
        continue;
      }
      const text = typedText(code.textContent ?? '', kind);
      if (text === '' || !isPlain(pre)) {
        continue;
      }
      const button = new BlockButton(text, choice, this._options);
      pre.after(button.node);
      this._buttons.set(button.node, button);
    }
  }

  private _refresh(): void {
    for (const button of this._buttons.values()) {
      button.update();
    }
  }

  private _observer: MutationObserver;
  private _buttons = new Map<HTMLElement, BlockButton>();
  private _waiting = false;
  private _disposed = false;
}

/** Outputs stream and editors change with each key: neither renders text. */
function touchesText(record: MutationRecord): boolean {
  const target = record.target as Element;
  return (
    !target.closest(`.jp-OutputArea, .cm-editor, .${BLOCK_CLASS}`) &&
    [...record.addedNodes, ...record.removedNodes].some(
      node => !(node instanceof Element && node.matches(`.${BLOCK_CLASS}`))
    )
  );
}

class BlockButton {
  constructor(
    private _text: string,
    private _choice: ILabChoice,
    private _options: IBlocksOptions
  ) {
    this.node = document.createElement('div');
    this.node.className = BLOCK_CLASS;
    // Enter and Space are the button's own, not the notebook's.
    this.node.dataset.lmSuppressShortcuts = 'true';
    this._button = document.createElement('button');
    this._button.type = 'button';
    this._button.className = 'educloud-link jp-mod-link';
    this._said = document.createElement('span');
    this._said.className = 'educloud-dim';
    this._said.setAttribute('role', 'status');
    this.node.append(this._button, this._said);
    this._button.addEventListener('click', event => {
      event.stopPropagation();
      void this._press();
    });
    // A double click on the text beside it opens the editor.
    this.node.addEventListener('dblclick', event => event.stopPropagation());
    this.update();
  }

  readonly node: HTMLElement;

  choose(choice: ILabChoice): void {
    this._choice = choice;
    this.update();
  }

  update(): void {
    const { trans } = this._options;
    const lease = this._lease();
    const lines = this._text.split('\n').length;
    const { lab } = this._choice;
    let label: string;
    let title: string;
    if (lease?.phase === 'ready') {
      label =
        this._line > 0
          ? trans.__('Type line %1 of %2', this._line + 1, lines)
          : trans.__('Type into the terminal');
      title = trans.__(
        '%1 of %2. It does not run before you press Enter there.',
        label,
        lab
      );
    } else if (lease && !canStart(lease)) {
      label = trans.__('The machine is not ready');
      title = lease.headline;
    } else {
      label = trans.__('The machine is not running: Start');
      title = trans.__('Start the machine of %1', lab);
    }
    this._button.textContent = label;
    this._button.title = title;
    this._button.setAttribute('aria-label', title);
    const off = lease !== null && lease.phase !== 'ready' && !canStart(lease);
    this._button.setAttribute('aria-disabled', String(off));
  }

  private _lease(): Lease | null {
    const { lab, slot } = this._choice;
    return this._options.model.leaseOfLab(lab, slot);
  }

  private async _press(): Promise<void> {
    const { trans, terminals } = this._options;
    const lease = this._lease();
    if (lease?.phase !== 'ready') {
      if (!lease || canStart(lease)) {
        this._options.start(this._choice);
      }
      return;
    }
    if (this._busy) {
      return; // A second click must not type it twice.
    }
    this._busy = true;
    try {
      const typed = await terminals.type(lease.id, this._text, this._line);
      const lines = this._text.split('\n').length;
      if (typed === 'not-open') {
        this._say(trans.__('The terminal did not open; nothing was typed.'));
      } else if (typed === 'all') {
        this._line = 0;
        this._say(trans.__('Typed. Press Enter in the terminal to run it.'));
      } else {
        this._line = (this._line + 1) % lines;
        this._say(
          trans.__('One line was typed: press Enter there, then come back.')
        );
      }
    } catch (reason) {
      console.warn('educloud-lab: nothing was typed.', reason);
      this._say(trans.__('The terminal did not open; nothing was typed.'));
    } finally {
      this._busy = false;
      this.update();
    }
  }

  private _say(words: string): void {
    this._said.textContent = words;
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => {
      this._said.textContent = '';
    }, SAID_MS);
  }

  private _button: HTMLButtonElement;
  private _said: HTMLElement;
  private _timer = 0;
  private _line = 0;
  private _busy = false;
}

function canStart(lease: Lease): boolean {
  return (lease.actions ?? []).some(
    one => one.action === 'start' && one.enabled
  );
}
