/**
 * The sidebar: every lease as a card, the lab of the notebook in front, and what may be started.
 */

import * as React from 'react';

import type {
  ICloudSettings,
  ILabChoice,
  ILabFinder,
  ILabNeeds
} from '../tokens';
import type { MachineProfile } from '../wire';
import { ActionButton } from './button';
import { useModel, useView } from './context';
import { LeaseCard } from './leasecard';
import { NeedsNotice, useNeeds } from './needs';
import { OffCard } from './offcard';
import { ProblemBox } from './problem';
import { ServerState } from './serverstate';
import { formatBytes } from './time';

export interface ISidebarProps {
  settings: ICloudSettings;
  finder: ILabFinder | null;
  needs: ILabNeeds | null;
}

function useFinder(finder: ILabFinder | null): ILabChoice | null {
  const [, count] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    if (!finder) {
      return;
    }
    const onChanged = () => count();
    finder.changed.connect(onChanged);
    return () => {
      finder.changed.disconnect(onChanged);
    };
  }, [finder]);
  return finder?.current() ?? null;
}

function ProfileRow(props: {
  profile: MachineProfile;
  first: boolean;
}): React.JSX.Element {
  const { trans, actions, model } = useView();
  const { profile } = props;
  const size = profile.volume_size_bytes
    ? trans.__('%1 volume', formatBytes(profile.volume_size_bytes, trans))
    : trans.__('no volume');
  return (
    <li className="educloud-profile">
      <div>
        <strong>{profile.title}</strong>
        {profile.description ? (
          <p className="educloud-text">{profile.description}</p>
        ) : null}
        <p className="educloud-dim">{`${profile.instance_type} · ${size}`}</p>
      </div>
      <ActionButton
        name="start-profile"
        kind={props.first ? 'accept' : 'plain'}
        label={trans.__('Start')}
        title={trans.__('Start %1', profile.title)}
        disabled={model.snapshot?.cloud.reachable === false}
        disabledReason={trans.__('The cloud cannot be reached just now.')}
        onPress={() =>
          actions.claim({ lab: profile.name, machine_profile: profile.name })
        }
      />
    </li>
  );
}

function EmptyState(props: { settings: ICloudSettings }): React.JSX.Element {
  const { trans } = useView();
  const model = useModel();
  const preferred = props.settings.defaultProfile;
  const profiles = (model.snapshot?.profiles ?? [])
    .filter(one => !one.retired)
    .sort(
      (a, b) => Number(b.name === preferred) - Number(a.name === preferred)
    );
  return (
    <section className="educloud-empty">
      <h3>{trans.__('No machine yet')}</h3>
      <p className="educloud-text">
        {trans.__(
          'A lab machine is a computer of your own in the cloud. Open a course notebook, or start one here; your files stay with it.'
        )}
      </p>
      {profiles.length > 0 ? (
        <ul className="educloud-profiles">
          {profiles.map((profile, index) => (
            <ProfileRow
              key={profile.name}
              profile={profile}
              first={index === 0}
            />
          ))}
        </ul>
      ) : model.snapshot?.version === 0 ? null : (
        <p className="educloud-hint">
          {trans.__('There is no machine profile to start from.')}
        </p>
      )}
    </section>
  );
}

export function Sidebar(props: ISidebarProps): React.JSX.Element {
  const { trans } = useView();
  const model = useModel();
  const inFront = useFinder(props.finder);
  const report = useNeeds(props.needs);
  const snapshot = model.snapshot;
  const leases = snapshot?.leases ?? [];
  const offer =
    snapshot && inFront && !model.leaseOfLab(inFront.lab, inFront.slot)
      ? inFront
      : null;
  // The lab of the notebook in front comes first.
  const sorted = [...leases].sort(
    (a, b) =>
      Number(b.lab === inFront?.lab) - Number(a.lab === inFront?.lab) ||
      a.lab.localeCompare(b.lab)
  );
  return (
    <div
      className="educloud-sidebar"
      role="region"
      aria-label={trans.__('Lab machine')}
    >
      <ServerState />
      {model.serverState === 'connecting' ? (
        <p className="educloud-hint" role="status">
          {trans.__('Looking for your machines…')}
        </p>
      ) : null}
      {snapshot?.cloud.problem ? (
        <ProblemBox problem={snapshot.cloud.problem} kind="warning" />
      ) : snapshot && !snapshot.cloud.reachable ? (
        <ProblemBox
          kind="warning"
          problem={{
            code: 'cloud-unreachable',
            what: trans.__(
              'The cloud "%1" cannot be reached.',
              snapshot.cloud.name
            ),
            kept: trans.__('machines and files are where they were.'),
            next_step: trans.__('It is tried again by itself.')
          }}
        />
      ) : null}
      {report ? <NeedsNotice report={report} /> : null}
      {offer ? <OffCard choice={offer} report={report} /> : null}
      {sorted.map(lease => (
        <LeaseCard key={lease.id} lease={lease} />
      ))}
      {snapshot && leases.length === 0 && !offer ? (
        <EmptyState settings={props.settings} />
      ) : null}
      {snapshot?.profile_problems?.map((problem, index) => (
        <ProblemBox key={index} problem={problem} kind="warning" />
      ))}
    </div>
  );
}
