/**
 * The time of a running machine: how much is left and which limit ends it, the warning before that, and Keep.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { Action, ActionState, Lease, Limit, Limits } from '../wire';
import { ActionButton } from './button';
import { useNow, useView } from './context';
import { Details } from './remembered';
import {
  formatClock,
  formatDuration,
  nearestLimit,
  secondsUntil,
  warningHelp,
  warningWords
} from './time';

/** From here on the time left is shown as a warning. */
export const SOON_S = 600;
const BUSY_S = [1800, 7200];

function stateOf(lease: Lease, action: Action): ActionState | undefined {
  return lease.actions?.find(state => state.action === action);
}

export function TimeLeft(props: { lease: Lease }): React.JSX.Element | null {
  const { trans, actions, model } = useView();
  const { lease } = props;
  const { limits } = lease;
  const nearest = nearestLimit(lease);
  const now_ms = useNow(nearest !== null, 1000);
  if (nearest === null && !limits) {
    return null;
  }
  const left_s = secondsUntil(nearest?.ends_at, now_ms);
  const keep = stateOf(lease, 'extend');
  const warning = limits?.warning ?? null;
  const soon = warning !== null || (left_s !== null && left_s < SOON_S);
  const mod = warning?.urgent
    ? ' jp-mod-urgent'
    : warning
      ? ' jp-mod-warning'
      : '';
  return (
    <section
      className={`educloud-limits${mod}`}
      aria-label={trans.__('Time left')}
      data-warning={warning?.id}
    >
      <div
        className="educloud-limitWarning"
        role="status"
        aria-live={warning?.urgent ? 'assertive' : 'polite'}
      >
        {warning ? (
          <>
            <p className="educloud-problemWhat">
              {warningWords(warning, now_ms, trans)}
            </p>
            {warning.loses ? <p>{warning.loses}</p> : null}
            <p>{warningHelp(warning, trans)}</p>
          </>
        ) : null}
      </div>
      <div className={`educloud-time${soon ? ' jp-mod-soon' : ''}`}>
        <span>
          {nearest && left_s !== null ? (
            <>
              {left_s > 0
                ? trans.__('%1 left', formatDuration(left_s, trans))
                : trans.__('Time is over')}
              <span className="educloud-dim">
                {` · ${trans.__('sleeps at %1', formatClock(nearest.ends_at, now_ms))}`}
              </span>
            </>
          ) : (
            trans.__('No limit on time now')
          )}
        </span>
        {keep ? (
          <ActionButton
            name="extend"
            kind={warning ? 'accept' : 'link'}
            label={trans.__('Keep')}
            title={trans.__('Keep the machine of %1 running longer', lease.lab)}
            disabled={!keep.enabled}
            disabledReason={keep.reason}
            busy={model.pending(lease.id) === 'extend'}
            onPress={() => actions.extend(lease)}
          />
        ) : null}
      </div>
      {limits ? (
        <>
          <Notes limits={limits} now_ms={now_ms} />
          <Details
            name="limits"
            summary={trans.__('Time limits')}
            render={() => (
              <LimitDetails lease={lease} limits={limits} now_ms={now_ms} />
            )}
          />
        </>
      ) : null}
    </section>
  );
}

/** What makes this machine's time different from others'. */
function Notes(props: {
  limits: Limits;
  now_ms: number;
}): React.JSX.Element | null {
  const { trans } = useView();
  const { limits, now_ms } = props;
  const { exemption, busy_until: busyUntil } = limits;
  return (
    <>
      {exemption ? (
        <p className="educloud-note" data-note="exemption">
          {trans.__(
            'Limits are off until %1: %2 (%3)',
            formatClock(exemption.until, now_ms),
            exemption.reason,
            exemption.by
          )}
        </p>
      ) : null}
      {busyUntil ? (
        <p className="educloud-note" data-note="busy">
          {trans.__('Busy until %1', formatClock(busyUntil, now_ms))}
        </p>
      ) : null}
    </>
  );
}

function LimitDetails(props: {
  lease: Lease;
  limits: Limits;
  now_ms: number;
}): React.JSX.Element {
  const { trans } = useView();
  const { lease, limits, now_ms } = props;
  const active_s = secondsUntil(limits.active_at, now_ms);
  return (
    <div className="educloud-limitDetails">
      <ul className="educloud-limitList">
        {(limits.limits ?? []).map(limit => (
          <li key={limit.kind} data-limit={limit.kind}>
            {limit.text || kindWord(limit.kind, trans)}
            <span className="educloud-dim">
              {` · ${formatClock(limit.ends_at, now_ms)}`}
            </span>
          </li>
        ))}
      </ul>
      {active_s !== null ? (
        <p className="educloud-hint" data-note="activity">
          {limits.active_by
            ? trans.__(
                'Last activity: %1, %2',
                limits.active_by,
                agoWords(-active_s, trans)
              )
            : trans.__('Last activity: %1', agoWords(-active_s, trans))}
        </p>
      ) : null}
      {limits.guarded && limits.limits?.length ? (
        <p className="educloud-hint">
          {trans.__(
            'The machine carries a timer of its own: it goes to sleep in time even when nobody can tell it to.'
          )}
        </p>
      ) : null}
      <Busy lease={lease} limits={limits} now_ms={now_ms} />
      <ExemptionButton lease={lease} limits={limits} />
    </div>
  );
}

function kindWord(kind: Limit['kind'], trans: TranslationBundle): string {
  switch (kind) {
    case 'hard':
      return trans.__('Time limit');
    case 'idle':
      return trans.__('Nobody uses it');
    case 'first-connection':
      return trans.__('Nobody has connected yet');
  }
}

/** How long ago, to the minute: a sentence that changes each second is no sentence. */
function agoWords(seconds: number, trans: TranslationBundle): string {
  return seconds < 60
    ? trans.__('just now')
    : trans.__('%1 ago', formatDuration(60 * Math.floor(seconds / 60), trans));
}

/** "Busy until …": says that work goes on without anybody at the keyboard. */
function Busy(props: {
  lease: Lease;
  limits: Limits;
  now_ms: number;
}): React.JSX.Element | null {
  const { trans, actions, model } = useView();
  const { lease, limits, now_ms } = props;
  const [open, setOpen] = React.useState(false);
  const id = React.useId();
  const state = stateOf(lease, 'busy');
  if (!state) {
    return null;
  }
  const hard = limits.limits?.find(limit => limit.kind === 'hard');
  const hard_s = secondsUntil(hard?.ends_at, now_ms);
  const choose = (until: string | null) => {
    actions.wish(lease, { kind: 'busy', until });
  };
  const choices = BUSY_S.filter(s => hard_s === null || s < hard_s).map(s => ({
    label: formatDuration(s, trans),
    until: () => new Date(model.now_ms() + 1000 * s).toISOString()
  }));
  if (hard) {
    choices.push({
      label: trans.__('until the limit'),
      until: () => hard.ends_at
    });
  }
  const common = {
    disabled: !state.enabled,
    disabledReason: state.reason,
    busy: model.pending(lease.id) === 'busy'
  };
  return (
    <div className="educloud-choices">
      <button
        type="button"
        className="educloud-button educloud-link"
        data-action="busy"
        aria-expanded={open}
        aria-controls={id}
        title={trans.__(
          'For work that goes on without you: the machine is then not put to sleep for being idle'
        )}
        onClick={() => setOpen(!open)}
      >
        {trans.__('Busy…')}
      </button>
      <div
        id={id}
        className="educloud-buttons"
        role="group"
        aria-label={trans.__('Busy until')}
        hidden={!open}
      >
        {choices.map(choice => (
          <ActionButton
            key={choice.label}
            name="busy-until"
            label={choice.label}
            {...common}
            onPress={() => choose(choice.until())}
          />
        ))}
        <ActionButton
          name="busy-end"
          label={trans.__('Not busy')}
          {...common}
          disabled={common.disabled || !limits.busy_until}
          onPress={() => choose(null)}
        />
      </div>
    </div>
  );
}

function ExemptionButton(props: {
  lease: Lease;
  limits: Limits;
}): React.JSX.Element | null {
  const { trans, actions, model } = useView();
  const { lease, limits } = props;
  const kind = limits.exemption ? 'end-exemption' : 'exempt';
  const state = stateOf(lease, kind);
  if (!state) {
    return null;
  }
  return (
    <div>
      <ActionButton
        name={kind}
        kind="link"
        label={
          limits.exemption
            ? trans.__('Turn limits on again…')
            : trans.__('Turn limits off…')
        }
        disabled={!state.enabled}
        disabledReason={state.reason}
        busy={model.pending(lease.id) === kind}
        onPress={() => actions.wish(lease, { kind })}
      />
    </div>
  );
}
