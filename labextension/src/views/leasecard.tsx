/**
 * A lease as a card. The sidebar and the panel in a notebook show this same component.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { Action, ActionState, Lease, Phase } from '../wire';
import { ActionButton } from './button';
import { CallsBox, useShowsCalls } from './calls';
import { useModel, useView } from './context';
import { MachineFacts, Volumes } from './facts';
import { FindingBox } from './finding';
import { TimeLeft } from './limits';
import { ProblemBox } from './problem';
import { JobProgress } from './progress';

export function phaseWord(phase: Phase, trans: TranslationBundle): string {
  switch (phase) {
    case 'off':
      return trans.__('Off');
    case 'starting':
      return trans.__('Starting');
    case 'ready':
      return trans.__('Ready');
    case 'stopping':
      return trans.__('Stopping');
    case 'asleep':
      return trans.__('Asleep');
    case 'deleting':
      return trans.__('Deleting');
    case 'waiting':
      return trans.__('Waiting');
    case 'trouble':
      return trans.__('Trouble');
  }
}

export function PhaseChip(props: { phase: Phase }): React.JSX.Element {
  const { trans } = useView();
  return (
    <span className={`educloud-chip jp-mod-${props.phase}`}>
      <span className="educloud-dot" aria-hidden="true" />
      {phaseWord(props.phase, trans)}
    </span>
  );
}

function stateOf(lease: Lease, action: Action): ActionState {
  return (
    lease.actions?.find(state => state.action === action) ?? {
      action,
      enabled: false,
      reason: ''
    }
  );
}

function Buttons(props: { lease: Lease }): React.JSX.Element {
  const { trans, actions, model } = useView();
  const { lease } = props;
  const pending = model.pending(lease.id);
  const start = stateOf(lease, 'start');
  const stop = stateOf(lease, 'stop');
  const terminal = stateOf(lease, 'terminal');
  // One of the two is always there, at the same place; both only where both make sense.
  const showStop = stop.enabled || ['ready', 'stopping'].includes(lease.phase);
  const showStart = start.enabled || !showStop;
  return (
    <div
      className="educloud-buttons"
      role="group"
      aria-label={trans.__('Machine of %1', lease.lab)}
    >
      {showStart ? (
        <ActionButton
          name="start"
          kind="accept"
          label={
            lease.phase === 'trouble'
              ? trans.__('Try again')
              : trans.__('Start')
          }
          disabled={!start.enabled || pending !== null}
          disabledReason={start.reason}
          busy={pending === 'start'}
          onPress={() => actions.start(lease)}
        />
      ) : null}
      <ActionButton
        name="terminal"
        kind={lease.phase === 'ready' ? 'accept' : 'plain'}
        label={trans.__('Terminal')}
        disabled={!terminal.enabled}
        disabledReason={terminal.reason}
        onPress={() => actions.terminal(lease)}
      />
      {showStop ? (
        <ActionButton
          name="stop"
          label={trans.__('Stop')}
          disabled={!stop.enabled || pending !== null}
          disabledReason={stop.reason}
          busy={pending === 'stop'}
          onPress={() => actions.stop(lease)}
        />
      ) : null}
    </div>
  );
}

function Footer(props: { lease: Lease }): React.JSX.Element {
  const { trans, actions, model } = useView();
  const { lease } = props;
  const console_ = stateOf(lease, 'console');
  const remove = stateOf(lease, 'delete');
  // While something is under way or wrong; a finding has its own button.
  const asks =
    stateOf(lease, 'why').enabled &&
    !lease.finding &&
    !['ready', 'off', 'asleep'].includes(lease.phase);
  return (
    <div className="educloud-footer">
      <ActionButton
        name="console"
        kind="link"
        label={trans.__('Console log')}
        disabled={!console_.enabled}
        disabledReason={console_.reason}
        onPress={() => actions.console(lease)}
      />
      {asks ? (
        <ActionButton
          name="why"
          kind="link"
          label={trans.__('Why?')}
          title={trans.__(
            'Show everything that is known about the machine of %1',
            lease.lab
          )}
          onPress={() => actions.why(lease)}
        />
      ) : null}
      <ActionButton
        name="delete"
        kind="danger"
        label={trans.__('Delete machine…')}
        disabled={!remove.enabled}
        disabledReason={remove.reason}
        busy={model.pending(lease.id) === 'delete'}
        onPress={() => actions.remove(lease)}
      />
    </div>
  );
}

/** The frame that a card has with and without a lease. */
export function CardFrame(props: {
  title: string;
  subtitle: string;
  phase: Phase;
  headline: string;
  leaseId?: string;
  children?: React.ReactNode;
}): React.JSX.Element {
  const headingId = React.useId();
  return (
    <article
      className={`educloud-LeaseCard jp-mod-${props.phase}`}
      aria-labelledby={headingId}
      data-phase={props.phase}
      data-lease={props.leaseId}
    >
      <header className="educloud-cardHeader">
        <div className="educloud-cardTitles">
          <h3 id={headingId}>{props.title}</h3>
          <p className="educloud-dim">{props.subtitle}</p>
        </div>
        <PhaseChip phase={props.phase} />
      </header>
      <p className="educloud-headline" role="status" aria-live="polite">
        {props.headline}
      </p>
      {props.children}
    </article>
  );
}

export function LeaseCard(props: { lease: Lease }): React.JSX.Element {
  const model = useModel();
  const { lease } = props;
  const refusal = model.refusal(lease.id);
  const showsCalls = useShowsCalls(lease.lab);
  const passing = lease.phase === 'waiting' || lease.job?.in_flight === true;
  const profile = lease.machine_profile;
  return (
    <CardFrame
      title={lease.lab}
      subtitle={
        lease.slot === 'main'
          ? profile.title
          : `${profile.title} · ${lease.slot}`
      }
      phase={lease.phase}
      headline={lease.headline}
      leaseId={lease.id}
    >
      {lease.job?.in_flight ? <JobProgress job={lease.job} /> : null}
      {lease.problem ? (
        <ProblemBox
          problem={lease.problem}
          kind={passing ? 'warning' : 'error'}
        />
      ) : null}
      {lease.finding ? (
        <FindingBox lease={lease} finding={lease.finding} />
      ) : null}
      {refusal ? <ProblemBox problem={refusal} /> : null}
      <Buttons lease={lease} />
      <TimeLeft lease={lease} />
      <Volumes lease={lease} />
      {lease.job && !lease.job.in_flight ? (
        <JobProgress job={lease.job} />
      ) : null}
      <MachineFacts lease={lease} />
      {showsCalls ? <CallsBox key={lease.id} lease={lease} /> : null}
      <Footer lease={lease} />
    </CardFrame>
  );
}
