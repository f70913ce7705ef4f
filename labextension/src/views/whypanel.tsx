/**
 * The doctor's answer about one machine: findings with their evidence, what helps, and a text for an administrator.
 */

import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  copyIcon,
  ReactWidget,
  refreshIcon,
  type Toolbar,
  ToolbarButton
} from '@jupyterlab/ui-components';
import * as React from 'react';

import { problemOf } from '../manager';
import type { ICloudModel } from '../tokens';
import type { Finding, Problem, Why } from '../wire';
import { contextWithoutActions, useView, ViewProvider } from './context';
import { machineIcon } from './icons';
import { ProblemBox } from './problem';
import { readable } from './readable';
import { formatClock } from './time';

export class WhyPanel extends ReactWidget {
  constructor(options: WhyPanel.IOptions) {
    super();
    this.leaseId = options.leaseId;
    this._model = options.model;
    this._trans = options.trans;
    this.addClass('educloud');
    this.addClass('educloud-page');
    const lab = this._model.lease(this.leaseId)?.lab ?? this.leaseId;
    this.title.label = this._trans.__('Why: %1', lab);
    this.title.icon = machineIcon;
    this.title.closable = true;
    void this.refresh();
  }

  readonly leaseId: string;

  /** Look again. Never rejects: a refusal is shown in place. */
  async refresh(): Promise<void> {
    this._say(this._trans.__('Looking…'));
    try {
      this._why = await this._model.why(this.leaseId);
      this._problem = null;
      this._say(
        this._trans.__(
          'Looked at %1.',
          formatClock(
            new Date(this._model.now_ms()).toISOString(),
            this._model.now_ms()
          )
        )
      );
    } catch (error) {
      this._problem = problemOf(error);
      this._say('');
    }
  }

  fillToolbar(toolbar: Toolbar): void {
    toolbar.addItem(
      'refresh',
      new ToolbarButton({
        icon: refreshIcon,
        label: this._trans.__('Look again'),
        tooltip: this._trans.__('Look at the machine again'),
        onClick: () => void this.refresh()
      })
    );
    toolbar.addItem(
      'copy',
      new ToolbarButton({
        icon: copyIcon,
        label: this._trans.__('Copy text for the administrator'),
        tooltip: this._trans.__(
          'Everything on this page as text, to paste into a message'
        ),
        onClick: () => this._copy()
      })
    );
  }

  protected render(): React.JSX.Element {
    return (
      <ViewProvider value={contextWithoutActions(this._model, this._trans)}>
        <p className="educloud-dim" role="status">
          {this._status}
        </p>
        {this._problem ? <ProblemBox problem={this._problem} /> : null}
        {this._why ? <WhyView why={this._why} /> : null}
      </ViewProvider>
    );
  }

  private _copy(): void {
    if (this._why) {
      // Also where the page is not from a secure origin, which the browser's own clipboard asks for.
      Clipboard.copyToSystem(this._why.text);
      this._say(this._trans.__('Copied.'));
    }
  }

  private _say(status: string): void {
    this._status = status;
    if (!this.isDisposed) {
      this.update();
    }
  }

  private _model: ICloudModel;
  private _trans: TranslationBundle;
  private _why: Why | null = null;
  private _problem: Problem | null = null;
  private _status = '';
}

export namespace WhyPanel {
  export interface IOptions {
    leaseId: string;
    model: ICloudModel;
    trans: TranslationBundle;
  }
}

export function WhyView(props: { why: Why }): React.JSX.Element {
  const { trans } = useView();
  const { why } = props;
  const tail = readable(why.console_tail ?? '');
  return (
    <>
      {why.healthy ? (
        <p className="educloud-headline">
          {trans.__(
            'Nothing is wrong with this machine, as far as can be seen.'
          )}
        </p>
      ) : null}
      {why.findings.map((finding, index) => (
        <FindingView key={`${finding.code} ${index}`} finding={finding} />
      ))}
      {tail ? (
        <details className="educloud-details">
          <summary>{trans.__('End of the console log')}</summary>
          <pre className="educloud-command" tabIndex={0}>
            {tail}
          </pre>
        </details>
      ) : null}
      <details className="educloud-details">
        <summary>{trans.__('Text for the administrator')}</summary>
        <pre className="educloud-command" tabIndex={0}>
          {why.text}
        </pre>
      </details>
    </>
  );
}

function sureWord(sure: Finding['sure'], trans: TranslationBundle): string {
  switch (sure) {
    case 'certain':
      return trans.__('certain');
    case 'likely':
      return trans.__('likely');
    case 'possible':
      return trans.__('possible');
  }
}

function FindingView(props: { finding: Finding }): React.JSX.Element {
  const { trans } = useView();
  const { finding } = props;
  const headingId = React.useId();
  const parts: [string, string | undefined][] = [
    [trans.__('Where'), finding.component_name || finding.component],
    [trans.__('How sure'), sureWord(finding.sure, trans)],
    [trans.__('What happens by itself'), finding.by_itself],
    [trans.__('What you can do'), finding.student_can],
    [trans.__('What an instructor can do'), finding.instructor_can],
    [trans.__('What cannot be seen'), finding.hidden]
  ];
  return (
    <section
      className="educloud-pageSection"
      aria-labelledby={headingId}
      data-finding={finding.code}
    >
      <h3 id={headingId}>{finding.what}</h3>
      <dl className="educloud-facts">
        {parts.map(([label, text]) =>
          text ? (
            <React.Fragment key={label}>
              <dt>{label}</dt>
              <dd>{text}</dd>
            </React.Fragment>
          ) : null
        )}
      </dl>
      {finding.evidence && finding.evidence.length > 0 ? (
        <div
          className="educloud-tableBox"
          role="region"
          tabIndex={0}
          aria-label={trans.__('Evidence')}
        >
          <table className="educloud-table">
            <caption>{trans.__('Evidence')}</caption>
            <thead>
              <tr>
                <th scope="col">{trans.__('What')}</th>
                <th scope="col">{trans.__('Seen')}</th>
                <th scope="col">{trans.__('Means')}</th>
              </tr>
            </thead>
            <tbody>
              {finding.evidence.map((one, index) => (
                <tr key={index}>
                  <th scope="row">{one.what}</th>
                  <td>{one.seen}</td>
                  <td>{one.means}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
    </section>
  );
}
