/**
 * The console log, read-only, with a button that reads it again.
 */

import {
  ReactWidget,
  refreshIcon,
  type Toolbar,
  ToolbarButton,
  textEditorIcon
} from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { problemOf } from '../manager';
import type { ICloudModel } from '../tokens';
import type { Console, Problem } from '../wire';
import { contextWithoutActions, ViewProvider } from './context';
import { ProblemBox } from './problem';
import { readable } from './readable';
import { formatClock } from './time';

export class ConsoleLog extends ReactWidget {
  constructor(options: ConsoleLog.IOptions) {
    super();
    this.leaseId = options.leaseId;
    this._model = options.model;
    this._trans = options.trans;
    this.addClass('educloud-console');
    const lab = this._model.lease(this.leaseId)?.lab ?? this.leaseId;
    this.title.label = this._trans.__('Console: %1', lab);
    this.title.icon = textEditorIcon;
    this.title.closable = true;
    void this.refresh();
  }

  readonly leaseId: string;

  /** Read the console output again. Never rejects: a refusal is shown in place. */
  async refresh(): Promise<void> {
    this._reading = true;
    this.update();
    try {
      this._console = await this._model.console(this.leaseId);
      this._problem = null;
    } catch (error) {
      this._problem = problemOf(error);
    }
    this._reading = false;
    if (!this.isDisposed) {
      this.update();
      await this.renderPromise;
      const text = this.node.querySelector('pre');
      text?.scrollTo(0, text.scrollHeight); // The newest lines are the last ones.
    }
  }

  fillToolbar(toolbar: Toolbar): void {
    toolbar.addItem(
      'refresh',
      new ToolbarButton({
        icon: refreshIcon,
        label: this._trans.__('Read again'),
        tooltip: this._trans.__('Read the console log again'),
        onClick: () => void this.refresh()
      })
    );
  }

  protected render(): React.JSX.Element {
    const trans = this._trans;
    const text = readable(this._console?.text ?? '');
    return (
      <ViewProvider value={contextWithoutActions(this._model, trans)}>
        <p className="educloud-consoleHead educloud-dim" role="status">
          {this._reading
            ? trans.__('Reading…')
            : this._console
              ? trans.__(
                  'Read at %1. The cloud keeps only the last part of the output.',
                  formatClock(this._console.read_at, this._model.now_ms())
                )
              : ''}
        </p>
        {this._problem ? <ProblemBox problem={this._problem} /> : null}
        <pre
          tabIndex={0}
          role="log"
          aria-live="off"
          aria-label={this.title.label}
          className="educloud-consoleText"
        >
          {text ||
            (this._reading ? '' : trans.__('The console is empty so far.'))}
        </pre>
      </ViewProvider>
    );
  }

  private _model: ICloudModel;
  private _trans: TranslationBundle;
  private _console: Console | null = null;
  private _problem: Problem | null = null;
  private _reading = false;
}

export namespace ConsoleLog {
  export interface IOptions {
    leaseId: string;
    model: ICloudModel;
    trans: TranslationBundle;
  }
}
