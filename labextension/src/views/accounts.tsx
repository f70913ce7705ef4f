/**
 * What the latest actions of a machine called in its cloud. Loaded when somebody opens it; shows, and asks nothing.
 */

import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { Account, Accounts, CloudCall, CloudPart } from '../wire';
import { useView } from './context';
import { formatClock } from './time';
import { Way } from './way';

export function actionWord(kind: string, trans: TranslationBundle): string {
  switch (kind) {
    case 'start':
      return trans.__('Start');
    case 'stop':
      return trans.__('Stop');
    case 'delete':
      return trans.__('Delete machine');
    case 'snapshot':
      return trans.__('Snapshot');
    case 'restore':
      return trans.__('Restore');
    case 'grow':
      return trans.__('Enlarge the volume');
    case 'discard':
      return trans.__('Volume into the bin');
    case 'return':
      return trans.__('Volume out of the bin');
    case 'empty':
      return trans.__('Delete for ever');
    default:
      return kind;
  }
}

function outcomeWord(account: Account, trans: TranslationBundle): string {
  if (!account.ended_at) {
    return trans.__('going on');
  }
  switch (account.outcome) {
    case 'done':
      return trans.__('done');
    case 'failed':
      return trans.__('failed');
    default:
      return trans.__('given up for another wish');
  }
}

function callWord(
  outcome: CloudCall['outcome'],
  trans: TranslationBundle
): string {
  switch (outcome) {
    case 'ok':
      return trans.__('answered');
    case 'refused':
      return trans.__('refused');
    case 'lost':
      return trans.__('no answer');
  }
}

export function AccountsView(props: { accounts: Accounts }): React.JSX.Element {
  const { trans } = useView();
  const { accounts } = props;
  const [said, say] = React.useState('');
  if (accounts.accounts.length === 0) {
    return (
      <p className="educloud-dim">
        {accounts.recording === false
          ? trans.__('Calls are not kept here: a setting of the server.')
          : trans.__('Nothing yet. Start the machine, then look here again.')}
      </p>
    );
  }
  const copy = (text: string) => {
    // Also where the page is not from a secure origin, which the browser's own clipboard asks for.
    Clipboard.copyToSystem(text);
    say(trans.__('Copied.'));
  };
  return (
    <>
      <p className="educloud-dim" role="status">
        {said}
      </p>
      {accounts.accounts.map((account, index) => (
        <AccountView
          key={account.job_id}
          account={account}
          first={index === 0}
          copy={copy}
        />
      ))}
      <Legend parts={accounts.components ?? []} />
    </>
  );
}

function AccountView(props: {
  account: Account;
  first: boolean;
  copy: (text: string) => void;
}): React.JSX.Element {
  const { trans, model } = useView();
  const { account, first, copy } = props;
  const count = account.calls.length;
  const title = trans.__(
    '%1, %2, %3',
    actionWord(account.kind, trans),
    outcomeWord(account, trans),
    formatClock(account.started_at, model.now_ms())
  );
  return (
    <details
      className="educloud-details"
      data-account={account.kind}
      open={first || undefined}
    >
      <summary>{title}</summary>
      <p className="educloud-dim">
        {count === 0
          ? trans.__('Nothing was called.')
          : trans._n('%1 entry.', '%1 entries.', count)}
        {account.left_out
          ? ` ${trans.__('%1 more calls are not kept.', account.left_out)}`
          : ''}
      </p>
      <ol className="educloud-callList">
        {account.calls.map((call, index) => (
          <li key={index}>
            <CallView
              call={call}
              copy={copy}
              step={
                call.step && call.step !== account.calls[index - 1]?.step
                  ? call.step
                  : ''
              }
            />
          </li>
        ))}
      </ol>
    </details>
  );
}

function CallView(props: {
  call: CloudCall;
  step: string;
  copy: (text: string) => void;
}): React.JSX.Element {
  const { trans } = useView();
  const { call, step } = props;
  const times = call.times ?? 1;
  return (
    <>
      {step ? <p className="educloud-callStep">{step}</p> : null}
      <details
        className="educloud-details educloud-call"
        data-call={call.operation}
        data-outcome={call.outcome}
      >
        <summary>
          <code>{call.operation}</code>
          {times > 1 ? ` ${trans.__('%1 times', times)}` : ''}
          {', '}
          {callWord(call.outcome, trans)}
          {call.outcome === 'lost'
            ? ''
            : ` ${trans.__('in %1 ms', call.duration_ms)}`}
        </summary>
        <CallDetails {...props} />
      </details>
    </>
  );
}

function CallDetails(props: {
  call: CloudCall;
  copy: (text: string) => void;
}): React.JSX.Element {
  const { trans } = useView();
  const { call, copy } = props;
  return (
    <>
      {call.parts && call.parts.length > 0 ? (
        <>
          <Way
            parts={call.parts}
            said={call.way ?? ''}
            label={trans.__('Way of %1', call.operation)}
            you={trans.__('you')}
          />
          <p className="educloud-dim">{call.way}</p>
        </>
      ) : null}
      {call.error || call.error_code ? (
        <p>
          <strong>{call.error_code}</strong> {call.error}
        </p>
      ) : null}
      <Fields title={trans.__('Asked')} fields={call.parameters} />
      <Fields title={trans.__('Answer')} fields={call.answer ?? {}} />
      {call.request_id ? (
        <p className="educloud-dim">
          {trans.__('Request id: %1', call.request_id)}
        </p>
      ) : null}
      <CommandLine name="aws" line={call.aws ?? ''} copy={copy} />
      <CommandLine name="euca2ools" line={call.euca ?? ''} copy={copy} />
    </>
  );
}

function Fields(props: {
  title: string;
  fields: Readonly<Record<string, string>>;
}): React.JSX.Element | null {
  const rows = Object.entries(props.fields);
  if (rows.length === 0) {
    return null;
  }
  return (
    <>
      <p className="educloud-callStep">{props.title}</p>
      <dl className="educloud-facts educloud-callFields">
        {rows.map(([name, value]) => (
          <React.Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </React.Fragment>
        ))}
      </dl>
    </>
  );
}

function CommandLine(props: {
  name: string;
  line: string;
  copy: (text: string) => void;
}): React.JSX.Element | null {
  const { trans } = useView();
  const { name, line, copy } = props;
  if (!line) {
    return null;
  }
  return (
    <div className="educloud-callLine">
      <p className="educloud-callStep">{trans.__('The same with %1', name)}</p>
      <pre
        className="educloud-command"
        tabIndex={0}
        aria-label={trans.__('Command line of %1', name)}
      >
        {line}
      </pre>
      <button
        type="button"
        className="educloud-button educloud-link jp-mod-link"
        data-action={`copy-${name}`}
        aria-label={trans.__('Copy command line of %1', name)}
        onClick={() => copy(line)}
      >
        {trans.__('Copy')}
      </button>
    </div>
  );
}

function Legend(props: {
  parts: readonly CloudPart[];
}): React.JSX.Element | null {
  const { trans } = useView();
  if (props.parts.length === 0) {
    return null;
  }
  return (
    <details className="educloud-details">
      <summary>{trans.__('The parts of a cloud')}</summary>
      <dl className="educloud-facts">
        {props.parts.map(part => (
          <React.Fragment key={part.part}>
            <dt>{part.part}</dt>
            <dd>
              {trans.__('%1: %2.', part.name, part.does)}
              {part.here ? ` ${trans.__('Here: %1.', part.here)}` : ''}
            </dd>
          </React.Fragment>
        ))}
      </dl>
    </details>
  );
}
