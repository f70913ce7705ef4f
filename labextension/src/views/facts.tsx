/**
 * What a lease has: volumes and what survives, and the instance behind it.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { Lease, Volume, VolumeStage } from '../wire';
import { useView } from './context';
import { Details } from './remembered';
import { formatBytes, formatClock } from './time';

const Files = React.lazy(() => import('./files'));

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
        {volume.from_snapshot
          ? ` · ${trans.__('made from "%1"', volume.from_snapshot)}`
          : ''}
      </span>
      {volume.proof ? (
        <span className="educloud-proof">{volume.proof}</span>
      ) : null}
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
      {hasFiles(lease) ? (
        <Details
          name="files"
          summary={filesSummary(lease, trans)}
          render={() => (
            <React.Suspense
              fallback={<p className="educloud-hint">{trans.__('Loading…')}</p>}
            >
              <Files lease={lease} />
            </React.Suspense>
          )}
        />
      ) : null}
    </section>
  );
}

/** Whether there is anything to be kept, or something that was. */
function hasFiles(lease: Lease): boolean {
  return [lease.volumes, lease.snapshots, lease.bin].some(
    one => (one ?? []).length > 0
  );
}

function filesSummary(lease: Lease, trans: TranslationBundle): string {
  const snapshots = lease.snapshots?.length ?? 0;
  const bin = lease.bin?.length ?? 0;
  if (snapshots + bin === 0) {
    return trans.__('Snapshots and bin');
  }
  const words = trans._n('%1 snapshot', '%1 snapshots', snapshots);
  return bin === 0 ? words : trans.__('%1, %2 in the bin', words, bin);
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
