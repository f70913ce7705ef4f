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
import { formatDuration, secondsUntil } from './time';

/** The lease that one line can be about: the notebook's in front, else the one with most to say. */
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
  const now_ms = useNow(lease !== null, lease?.job?.in_flight ? 1000 : 15_000);
  if (lease === null) {
    return null;
  }
  const left_s = secondsUntil(lease.expires_at, now_ms);
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
      className={`educloud-statusButton jp-mod-${lease.phase}`}
      title={trans.__('%1: show the lab machine', lease.headline)}
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
