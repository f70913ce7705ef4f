/**
 * The course overview: what in the cloud has no owner, what is in bin and quarantine, and who did what.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import {
  ReactWidget,
  refreshIcon,
  type Toolbar,
  ToolbarButton
} from '@jupyterlab/ui-components';
import * as React from 'react';

import { askForm, confirmation } from '../form';
import { problemOf } from '../manager';
import type { ICloudModel } from '../tokens';
import type {
  AuditEntry,
  BinItem,
  Orphan,
  OrphanReport,
  Problem
} from '../wire';
import { ActionButton } from './button';
import { contextWithoutActions, useView, ViewProvider } from './context';
import { daysLeft } from './files';
import { machineIcon } from './icons';
import { ProblemBox } from './problem';
import { formatBytes, formatClock } from './time';

export class Overview extends ReactWidget {
  constructor(options: Overview.IOptions) {
    super();
    this._model = options.model;
    this._trans = options.trans;
    this.addClass('educloud');
    this.addClass('educloud-page');
    this.title.label = this._trans.__('Course overview');
    this.title.icon = machineIcon;
    this.title.closable = true;
    void this.refresh();
  }

  /** Ask for everything again. Never rejects: refusals are shown in place. */
  async refresh(): Promise<void> {
    this._round += 1;
    if (!this.isDisposed) {
      this.update();
    }
  }

  fillToolbar(toolbar: Toolbar): void {
    toolbar.addItem(
      'refresh',
      new ToolbarButton({
        icon: refreshIcon,
        label: this._trans.__('Look again'),
        tooltip: this._trans.__('Ask for everything on this page again'),
        onClick: () => void this.refresh()
      })
    );
  }

  protected render(): React.JSX.Element {
    return (
      <ViewProvider value={contextWithoutActions(this._model, this._trans)}>
        <OverviewPage round={this._round} />
      </ViewProvider>
    );
  }

  private _model: ICloudModel;
  private _trans: TranslationBundle;
  private _round = 0;
}

export namespace Overview {
  export interface IOptions {
    model: ICloudModel;
    trans: TranslationBundle;
  }
}

/** Everything that the page shows; asked for again at each round. */
export function OverviewPage(props: { round: number }): React.JSX.Element {
  return (
    <>
      <Orphans round={props.round} />
      <ShelfList round={props.round} />
      <Audit round={props.round} />
    </>
  );
}

interface IAnswer<T> {
  value: T | null;
  problem: Problem | null;
  busy: boolean;
}

/** Ask when shown and at each round. An answer to an older question is not taken. */
function useAnswer<T>(
  ask: () => Promise<T>,
  round: number
): [IAnswer<T>, (ask: () => Promise<T>) => void] {
  const [answer, setAnswer] = React.useState<IAnswer<T>>({
    value: null,
    problem: null,
    busy: true
  });
  const newest = React.useRef(0);
  const load = React.useCallback((question: () => Promise<T>) => {
    const mine = (newest.current += 1);
    setAnswer(old => ({ ...old, busy: true }));
    question()
      .then(value => ({ value, problem: null, busy: false }))
      .catch(error => ({ problem: problemOf(error), busy: false }))
      .then(got => {
        if (mine === newest.current) {
          setAnswer(old => ({ ...old, ...got }));
        }
      })
      .catch(console.error);
  }, []);
  React.useEffect(() => {
    load(ask);
    return () => {
      newest.current += 1;
    };
    // The question is the same at each round.
  }, [round]);
  return [answer, load];
}

function Section(props: {
  title: string;
  name: string;
  answer: IAnswer<unknown>;
  children: React.ReactNode;
}): React.JSX.Element {
  const { trans } = useView();
  const headingId = React.useId();
  const { answer } = props;
  return (
    <section
      className="educloud-pageSection"
      aria-labelledby={headingId}
      aria-busy={answer.busy}
      data-section={props.name}
    >
      <h3 id={headingId}>{props.title}</h3>
      {answer.problem ? <ProblemBox problem={answer.problem} /> : null}
      {answer.value === null && answer.busy ? (
        <p className="educloud-hint" role="status">
          {trans.__('Looking…')}
        </p>
      ) : null}
      {props.children}
    </section>
  );
}

function Table(props: {
  caption: string;
  columns: string[];
  /** The first cell of a row is its heading. */
  rows: { key: string; cells: React.ReactNode[] }[];
}): React.JSX.Element {
  return (
    <div
      className="educloud-tableBox"
      role="region"
      tabIndex={0}
      aria-label={props.caption}
    >
      <table className="educloud-table">
        <caption className="educloud-srOnly">{props.caption}</caption>
        <thead>
          <tr>
            {props.columns.map(column => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map(({ key, cells }) => (
            <tr key={key} data-row={key}>
              {cells.map((cell, index) =>
                index === 0 ? (
                  <th key={index} scope="row">
                    {cell}
                  </th>
                ) : (
                  <td key={index}>{cell}</td>
                )
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function orphanState(orphan: Orphan, trans: TranslationBundle): string {
  switch (orphan.state) {
    case 'seen':
      return trans.__('seen');
    case 'reaping':
      return trans.__('being ended');
    case 'reaped':
      return trans.__('ended');
    case 'quarantined':
      return trans.__('in quarantine');
    case 'kept':
      return trans.__('kept');
    case 'gone':
      return trans.__('gone by itself');
  }
}

function orphanKind(orphan: Orphan, trans: TranslationBundle): string {
  switch (orphan.kind) {
    case 'instance':
      return trans.__('instance');
    case 'volume':
      return trans.__('volume');
    case 'snapshot':
      return trans.__('snapshot');
  }
}

/** The word that confirms a reap. Not translated: it is typed as shown. */
const REAP_WORD = 'reap';

async function askReap(
  report: OrphanReport,
  trans: TranslationBundle
): Promise<boolean> {
  const answers = await askForm({
    title: trans.__('End what has no owner?'),
    says: [
      trans.__(
        'Instances without owner whose grace time is over are ended for good; their system disks go with them.'
      ),
      trans.__(
        'Volumes and snapshots are never deleted: they are put into quarantine, where they stay until somebody decides.'
      ),
      trans._n(
        '%1 thing without owner is known now. Look at the dry run first.',
        '%1 things without owner are known now. Look at the dry run first.',
        report.orphans.length
      )
    ],
    fields: [
      confirmation(
        trans.__('Type this word to confirm: %1', REAP_WORD),
        REAP_WORD
      )
    ],
    accept: trans.__('End them'),
    leave: trans.__('Leave them'),
    warn: true
  });
  return answers !== null;
}

function Orphans(props: { round: number }): React.JSX.Element {
  const { trans, model } = useView();
  const [answer, load] = useAnswer(() => model.orphans(), props.round);
  const [said, setSaid] = React.useState('');
  const report = answer.value;
  const now_ms = model.now_ms();
  const reap = (dryRun: boolean) => {
    setSaid('');
    load(async () => {
      const done = await model.reap(dryRun);
      const acted = done.acted ?? [];
      setSaid(
        done.dry_run
          ? trans._n(
              'Dry run: %1 would be ended or put into quarantine now.',
              'Dry run: %1 would be ended or put into quarantine now.',
              acted.length
            ) + (acted.length > 0 ? ` ${acted.join(', ')}` : '')
          : trans.__(
              'Ended or put into quarantine: %1',
              acted.join(', ') || '–'
            )
      );
      return done;
    });
  };
  return (
    <Section title={trans.__('Without owner')} name="orphans" answer={answer}>
      <p className="educloud-hint">
        {trans.__(
          'What carries our marks in the cloud and nobody here knows. Instances are ended after a grace time; volumes are never deleted.'
        )}
      </p>
      {report?.halted ? (
        <p className="educloud-note" role="status">
          {report.halted}
        </p>
      ) : null}
      {report && report.orphans.length === 0 ? (
        <p>{trans.__('Everything in the cloud has an owner.')}</p>
      ) : null}
      {report && report.orphans.length > 0 ? (
        <Table
          caption={trans.__('Without owner')}
          columns={[
            trans.__('In the cloud'),
            trans.__('Kind'),
            trans.__('State'),
            trans.__('Why'),
            trans.__('Owner, as its marks say'),
            trans.__('Size'),
            trans.__('First seen'),
            trans.__('Something is done')
          ]}
          rows={report.orphans.map(orphan => ({
            key: orphan.cloud_id,
            cells: [
              <code key="id">{orphan.cloud_id}</code>,
              orphanKind(orphan, trans),
              orphanState(orphan, trans),
              orphan.reason,
              [orphan.owner, orphan.lab].filter(Boolean).join(' · '),
              orphan.size_bytes ? formatBytes(orphan.size_bytes, trans) : '',
              formatClock(orphan.first_seen_at, now_ms),
              orphan.acts_at
                ? formatClock(orphan.acts_at, now_ms)
                : trans.__('never')
            ]
          }))}
        />
      ) : null}
      <div className="educloud-buttons">
        <ActionButton
          name="dry-run"
          label={trans.__('Dry run')}
          title={trans.__('Say what would be done now, and do nothing')}
          busy={answer.busy}
          onPress={() => reap(true)}
        />
        <ActionButton
          name="reap"
          kind="danger"
          label={trans.__('End them…')}
          title={trans.__('End what has no owner and is due')}
          disabled={answer.busy || !report || report.orphans.length === 0}
          disabledReason={trans.__('There is nothing without owner.')}
          onPress={() => {
            if (report) {
              void askReap(report, trans).then(yes => {
                if (yes) {
                  reap(false);
                }
              });
            }
          }}
        />
      </div>
      <p role="status">{said}</p>
    </Section>
  );
}

function ShelfList(props: { round: number }): React.JSX.Element {
  const { trans, model } = useView();
  const [answer] = useAnswer(() => model.shelf(), props.round);
  const items = answer.value?.items;
  const now_ms = model.now_ms();
  const row = (item: BinItem) => ({
    key: item.id,
    cells: [
      <code key="id">{item.cloud_id}</code>,
      item.quarantined ? trans.__('quarantine') : trans.__('bin'),
      [item.owner, item.lab].filter(Boolean).join(' · '),
      formatBytes(item.size_bytes, trans),
      item.created_at ? formatClock(item.created_at, now_ms) : '',
      item.last_mounted_at ? formatClock(item.last_mounted_at, now_ms) : '',
      item.reason,
      daysLeft(item, now_ms, trans)
    ]
  });
  return (
    <Section
      title={trans.__('Bin and quarantine')}
      name="shelf"
      answer={answer}
    >
      {items && items.length === 0 ? (
        <p>{trans.__('Both are empty.')}</p>
      ) : null}
      {items && items.length > 0 ? (
        <Table
          caption={trans.__('Bin and quarantine')}
          columns={[
            trans.__('Volume'),
            trans.__('Where'),
            trans.__('Owner'),
            trans.__('Size'),
            trans.__('Made'),
            trans.__('Last used'),
            trans.__('Why'),
            trans.__('Until')
          ]}
          rows={items.map(row)}
        />
      ) : null}
    </Section>
  );
}

function Audit(props: { round: number }): React.JSX.Element {
  const { trans, model } = useView();
  const [answer, load] = useAnswer(() => model.audit({}), props.round);
  const page = answer.value;
  const now_ms = model.now_ms();
  const older = page?.older ?? null;
  const row = (entry: AuditEntry) => ({
    key: String(entry.id),
    cells: [
      formatClock(entry.at, now_ms),
      entry.who,
      entry.what,
      entry.whose ?? '',
      entry.subject ?? '',
      entry.result ?? '',
      entry.detail ?? ''
    ]
  });
  return (
    <Section title={trans.__('Who did what')} name="audit" answer={answer}>
      {page && page.entries.length === 0 ? (
        <p>{trans.__('Nothing is recorded yet.')}</p>
      ) : null}
      {page && page.entries.length > 0 ? (
        <Table
          caption={trans.__('Who did what, newest first')}
          columns={[
            trans.__('When'),
            trans.__('Who'),
            trans.__('What'),
            trans.__('Whose'),
            trans.__('On'),
            trans.__('Result'),
            trans.__('Detail')
          ]}
          rows={page.entries.map(row)}
        />
      ) : null}
      {page && older !== null ? (
        <div className="educloud-buttons">
          <ActionButton
            name="older"
            label={trans.__('Older entries')}
            busy={answer.busy}
            onPress={() =>
              load(async () => {
                const next = await model.audit({ before: older });
                return {
                  entries: [...page.entries, ...next.entries],
                  older: next.older
                };
              })
            }
          />
        </div>
      ) : null}
    </Section>
  );
}
