/**
 * What can be done with the data volume: snapshots, growing, and the bin. Loaded when it is first opened.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { CardWish } from '../tokens';
import type {
  Action,
  BinItem,
  Lease,
  SnapshotState,
  VolumeSnapshot
} from '../wire';
import { ActionButton } from './button';
import { useNow, useView } from './context';
import { formatBytes, formatClock, secondsUntil } from './time';

const DAY_S = 86_400;

function snapshotWord(state: SnapshotState, trans: TranslationBundle): string {
  switch (state) {
    case 'planned':
      return trans.__('about to be taken');
    case 'pending':
      return trans.__('being taken');
    case 'completed':
      return trans.__('complete');
    case 'failed':
      return trans.__('failed');
    case 'deleted':
      return trans.__('being deleted');
  }
}

/** A button for an action of the lease: there when the server names the action, disabled with its reason. */
function WishButton(props: {
  lease: Lease;
  action: Action;
  wish: CardWish;
  label: string;
  title?: string;
  kind?: 'plain' | 'link' | 'danger';
  /** Why it cannot be pressed though the action can. */
  notNow?: string;
}): React.JSX.Element | null {
  const { actions, model } = useView();
  const { lease, notNow = '' } = props;
  const state = lease.actions?.find(one => one.action === props.action);
  if (!state) {
    return null;
  }
  const pending = model.pending(lease.id);
  return (
    <ActionButton
      name={props.wish.kind}
      label={props.label}
      title={props.title}
      kind={props.kind ?? 'link'}
      disabled={!state.enabled || notNow !== '' || pending !== null}
      disabledReason={state.enabled ? notNow : state.reason}
      onPress={() => actions.wish(lease, props.wish)}
    />
  );
}

function SnapshotRow(props: {
  lease: Lease;
  snapshot: VolumeSnapshot;
  now_ms: number;
}): React.JSX.Element {
  const { trans, actions } = useView();
  const { lease, snapshot, now_ms } = props;
  const { name, state } = snapshot;
  const moving = state === 'pending' || state === 'planned';
  // Who may turn limits off oversees the course: the server names that action to nobody else.
  const oversees = lease.actions?.some(one => one.action === 'exempt');
  return (
    <li className={`educloud-item jp-mod-${state}`} data-snapshot={snapshot.id}>
      <span className="educloud-itemName">
        <span>{name}</span>
        <span className="educloud-dim">
          {formatBytes(snapshot.size_bytes, trans)}
        </span>
      </span>
      <span className="educloud-dim">
        {formatClock(snapshot.created_at, now_ms)}
        {' · '}
        {moving
          ? `${snapshotWord(state, trans)}, ${trans.__('%1 %', snapshot.progress_percent)}`
          : snapshotWord(state, trans)}
        {snapshot.published ? ` · ${trans.__('published')}` : ''}
        {snapshot.consistency ? ` · ${snapshot.consistency}` : ''}
      </span>
      {moving ? (
        <progress
          className="educloud-progress"
          max={100}
          value={snapshot.progress_percent}
          aria-label={trans.__('Snapshot %1', name)}
        />
      ) : null}
      {state === 'deleted' ? null : (
        <span className="educloud-links">
          <WishButton
            lease={lease}
            action="restore"
            wish={{ kind: 'restore', snapshot }}
            label={trans.__('Restore…')}
            title={trans.__('Go back to the snapshot %1', name)}
            notNow={
              snapshot.restorable
                ? ''
                : trans.__('Possible when it is complete.')
            }
          />
          {oversees ? (
            <ActionButton
              name="publish"
              kind="link"
              label={
                snapshot.published
                  ? trans.__('Stop publishing…')
                  : trans.__('Publish…')
              }
              title={trans.__(
                'Whether new volumes of this lab are copies of %1',
                name
              )}
              disabled={state !== 'completed'}
              disabledReason={trans.__('Possible when it is complete.')}
              onPress={() => actions.wish(lease, { kind: 'publish', snapshot })}
            />
          ) : null}
          <ActionButton
            name="delete-snapshot"
            kind="danger"
            label={trans.__('Delete…')}
            title={trans.__('Delete the snapshot %1', name)}
            disabled={moving}
            disabledReason={trans.__('Possible when it is complete.')}
            onPress={() =>
              actions.wish(lease, { kind: 'delete-snapshot', snapshot })
            }
          />
        </span>
      )}
    </li>
  );
}

/** How long a volume is still in the bin. */
export function daysLeft(
  item: BinItem,
  now_ms: number,
  trans: TranslationBundle
): string {
  const left_s = secondsUntil(item.delete_after, now_ms);
  if (item.quarantined || left_s === null) {
    return trans.__('kept until somebody decides');
  }
  if (left_s <= 0) {
    return trans.__('deleted any moment now');
  }
  if (left_s < DAY_S) {
    return trans.__('deleted today or tomorrow');
  }
  const days = Math.floor(left_s / DAY_S);
  return trans._n('%1 day left', '%1 days left', days);
}

function BinRow(props: {
  lease: Lease;
  item: BinItem;
  now_ms: number;
}): React.JSX.Element {
  const { trans } = useView();
  const { lease, item, now_ms } = props;
  return (
    <li className="educloud-item" data-bin={item.id}>
      <span className="educloud-itemName">
        <code>{item.cloud_id}</code>
        <span className="educloud-dim">
          {formatBytes(item.size_bytes, trans)}
        </span>
      </span>
      <span className="educloud-dim">
        {item.reason}
        {' · '}
        {daysLeft(item, now_ms, trans)}
      </span>
      <span className="educloud-links">
        <WishButton
          lease={lease}
          action="return"
          wish={{ kind: 'return', item }}
          label={trans.__('Put back…')}
          title={trans.__('Take %1 out of the bin', item.cloud_id)}
          notNow={
            item.returnable === false
              ? trans.__('This one cannot be put back.')
              : ''
          }
        />
      </span>
    </li>
  );
}

export default function Files(props: { lease: Lease }): React.JSX.Element {
  const { trans } = useView();
  const { lease } = props;
  const now_ms = useNow(true, 60_000);
  const snapshots = lease.snapshots ?? [];
  const bin = lease.bin ?? [];
  return (
    <div className="educloud-files">
      {snapshots.length > 0 ? (
        <ul
          className="educloud-items"
          aria-label={trans.__('Snapshots of your files')}
        >
          {snapshots.map(snapshot => (
            <SnapshotRow
              key={snapshot.id}
              lease={lease}
              snapshot={snapshot}
              now_ms={now_ms}
            />
          ))}
        </ul>
      ) : (
        <p className="educloud-hint">
          {trans.__('A snapshot keeps your files as they are at one time.')}
        </p>
      )}
      <div className="educloud-buttons">
        <WishButton
          lease={lease}
          action="snapshot"
          wish={{ kind: 'snapshot' }}
          kind="plain"
          label={trans.__('Take a snapshot…')}
        />
        <WishButton
          lease={lease}
          action="grow"
          wish={{ kind: 'grow' }}
          kind="plain"
          label={trans.__('Grow…')}
          title={trans.__('Make the volume of %1 larger', lease.lab)}
        />
      </div>
      {bin.length > 0 ? (
        <>
          <h5>{trans.__('Bin')}</h5>
          <ul className="educloud-items" aria-label={trans.__('Bin')}>
            {bin.map(item => (
              <BinRow key={item.id} lease={lease} item={item} now_ms={now_ms} />
            ))}
          </ul>
        </>
      ) : null}
      <div>
        <WishButton
          lease={lease}
          action="discard"
          wish={{ kind: 'discard' }}
          kind="danger"
          label={trans.__('Put files into the bin…')}
        />
      </div>
    </div>
  );
}
