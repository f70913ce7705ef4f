/**
 * What a lease has: time left, volumes and what survives, and the instance behind it.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { Lease, Volume, VolumeStage } from '../wire';
import { ActionButton } from './button';
import { useNow, useView } from './context';
import { formatBytes, formatClock, formatDuration, secondsUntil } from './time';

/** From here on the time left is shown as a warning. */
export const SOON_S = 600;

export function TimeLeft(props: { lease: Lease }): React.JSX.Element | null {
  const { trans, actions, model } = useView();
  const { lease } = props;
  const now_ms = useNow(Boolean(lease.expires_at), 1000);
  const left_s = secondsUntil(lease.expires_at, now_ms);
  if (left_s === null || !lease.expires_at) {
    return null;
  }
  const extend = lease.actions?.find(state => state.action === 'extend');
  const soon = left_s < SOON_S;
  return (
    <div className={`educloud-time${soon ? ' jp-mod-soon' : ''}`}>
      <span>
        {left_s > 0
          ? trans.__('%1 left', formatDuration(left_s, trans))
          : trans.__('Time is over')}
        <span className="educloud-dim">
          {` · ${trans.__('sleeps at %1', formatClock(lease.expires_at, now_ms))}`}
        </span>
      </span>
      {extend ? (
        <ActionButton
          name="extend"
          kind="link"
          label={trans.__('Keep')}
          title={trans.__('Keep the machine of %1 running longer', lease.lab)}
          disabled={!extend.enabled}
          disabledReason={extend.reason}
          busy={model.pending(lease.id) === 'extend'}
          onPress={() => actions.extend(lease)}
        />
      ) : null}
    </div>
  );
}

function stageWord(stage: VolumeStage, trans: TranslationBundle): string {
  switch (stage) {
    case 'planned':
      return trans.__('made at the first start');
    case 'creating':
      return trans.__('being made');
    case 'available':
      return trans.__('safe in the cloud, not attached');
    case 'attaching':
      return trans.__('being attached');
    case 'attached':
      return trans.__('attached, not mounted yet');
    case 'mounted':
      return trans.__('mounted');
    case 'detaching':
      return trans.__('being detached');
    case 'trouble':
      return trans.__('needs attention');
  }
}

function VolumeRow(props: { volume: Volume }): React.JSX.Element {
  const { trans } = useView();
  const { volume } = props;
  return (
    <li className={`educloud-volume jp-mod-${volume.stage}`}>
      <span className="educloud-volumeName">
        <code>{volume.mount_point}</code>
        <span>{formatBytes(volume.size_bytes, trans)}</span>
      </span>
      <span className="educloud-dim">
        {stageWord(volume.stage, trans)}
        {volume.id ? (
          <>
            {' · '}
            <code>{volume.id}</code>
          </>
        ) : null}
      </span>
    </li>
  );
}

export function Volumes(props: { lease: Lease }): React.JSX.Element | null {
  const { trans } = useView();
  const { lease } = props;
  const volumes = lease.volumes ?? [];
  const places = volumes.map(volume => volume.mount_point).join(', ');
  return (
    <section className="educloud-section">
      <h4>{trans.__('Your files')}</h4>
      {volumes.length > 0 ? (
        <ul className="educloud-volumes">
          {volumes.map(volume => (
            <VolumeRow key={volume.mount_point} volume={volume} />
          ))}
        </ul>
      ) : null}
      <p className="educloud-hint">
        {volumes.length === 0
          ? lease.system_disk === 'kept'
            ? trans.__('Files stay when the machine sleeps.')
            : trans.__(
                'This machine has no volume: all files go when it stops.'
              )
          : lease.system_disk === 'kept'
            ? trans.__(
                'Files in %1 always stay. The rest stays until the machine is deleted.',
                places
              )
            : trans.__(
                'Files in %1 always stay. Everything else goes when the machine stops.',
                places
              )}
      </p>
    </section>
  );
}

function hostKeyWords(
  source: NonNullable<Lease['host_key_source']>,
  trans: TranslationBundle
): string {
  switch (source) {
    case 'none':
      return trans.__('not known yet');
    case 'bootstrap':
      return trans.__('first contact, not pinned yet');
    case 'pinned':
      return trans.__('made by the machine and pinned');
    case 'console':
      return trans.__('read from the console log');
  }
}

function Fact(props: {
  label: string;
  value: string | null | undefined;
  note?: string;
}): React.JSX.Element | null {
  if (!props.value) {
    return null;
  }
  return (
    <>
      <dt>{props.label}</dt>
      <dd>
        <code>{props.value}</code>
        {props.note ? (
          <span className="educloud-dim">{` ${props.note}`}</span>
        ) : null}
      </dd>
    </>
  );
}

export function MachineFacts(props: {
  lease: Lease;
}): React.JSX.Element | null {
  const { trans, model } = useView();
  const { lease } = props;
  const instance = lease.instance;
  if (!instance) {
    return null;
  }
  return (
    <details className="educloud-details">
      <summary>{trans.__('Machine details')}</summary>
      <dl className="educloud-facts">
        <Fact
          label={trans.__('Instance')}
          value={instance.id}
          note={instance.state}
        />
        <Fact label={trans.__('Address')} value={instance.address} />
        <Fact label={trans.__('Login')} value={lease.login} />
        <Fact
          label={trans.__('Host key')}
          value={lease.host_key_fingerprint}
          note={hostKeyWords(lease.host_key_source ?? 'none', trans)}
        />
        <Fact label={trans.__('Type')} value={instance.instance_type} />
        <Fact label={trans.__('Image')} value={instance.image_id} />
        <Fact label={trans.__('Zone')} value={instance.zone} />
        <Fact label={trans.__('Cloud')} value={model.snapshot?.cloud.name} />
        <Fact
          label={trans.__('Launched')}
          value={
            instance.launched_at
              ? formatClock(instance.launched_at, model.now_ms())
              : null
          }
        />
      </dl>
    </details>
  );
}
