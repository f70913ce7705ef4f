/**
 * The machine in one line, for the status bar.
 */

import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { CommandIDs, type ILabFinder } from '../tokens';
import type { Lease } from '../wire';
import {
  useModel,
  useNow,
  useView,
  ViewProvider,
  type IViewContext
} from './context';
import { phaseWord } from './leasecard';
import { progressNow } from './progress';
import {
  formatDuration,
  nearestLimit,
  secondsUntil,
  warningWords
} from './time';

/** The lease that one line can be about: the one warned about, else the notebook's in front, else that with most to say. */
export function statusLease(
  leases: readonly Lease[],
  lab: string | undefined
): Lease | null {
  const order = ['trouble', 'starting', 'stopping', 'deleting', 'ready'];
  const weight = (lease: Lease) => {
    const index = order.indexOf(lease.phase);
    return index === -1 ? order.length : index;
  };
  return (
    leases.find(lease => lease.limits?.warning?.urgent) ??
    leases.find(lease => lease.limits?.warning) ??
    leases.find(lease => lease.lab === lab) ??
    [...leases].sort((a, b) => weight(a) - weight(b))[0] ??
    null
  );
}

function Status(props: {
  finder: ILabFinder | null;
  show: () => void;
}): React.JSX.Element | null {
  const { trans } = useView();
  const model = useModel();
  const lease = statusLease(
    model.snapshot?.leases ?? [],
    props.finder?.current()?.lab
  );
  const now_ms = useNow(
    lease !== null,
    lease?.job?.in_flight || lease?.limits?.warning ? 1000 : 15_000
  );
  if (lease === null) {
    return null;
  }
  const left_s = secondsUntil(nearestLimit(lease)?.ends_at, now_ms);
  const warning = lease.limits?.warning;
  const mod = warning?.urgent ? 'urgent' : warning ? 'warning' : lease.phase;
  const parts = [lease.lab, phaseWord(lease.phase, trans)];
  if (lease.job?.in_flight) {
    parts.push(
      trans.__('%1 %', Math.round(progressNow(lease.job, now_ms) * 100))
    );
  } else if (left_s !== null && left_s > 0) {
    parts.push(trans.__('%1 left', formatDuration(left_s, trans)));
  }
  const words = parts.join(' · ');
  return (
    <button
      type="button"
      className={`educloud-statusButton jp-mod-${mod}`}
      title={trans.__(
        '%1: show the lab machine',
        warning ? warningWords(warning, now_ms, trans) : lease.headline
      )}
      aria-label={trans.__('Lab machine: %1', words)}
      onClick={props.show}
    >
      <span className="educloud-dot" aria-hidden="true" />
      {words}
    </button>
  );
}

export function statusView(
  context: IViewContext,
  finder: ILabFinder | null,
  commands: CommandRegistry
): ReactWidget {
  return ReactWidget.create(
    <ViewProvider value={context}>
      <Status
        finder={finder}
        show={() => void commands.execute(CommandIDs.show)}
      />
    </ViewProvider>
  );
}
