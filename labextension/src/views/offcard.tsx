/**
 * The card of a lab that has no lease yet: its Start makes one.
 */

import * as React from 'react';

import { labKey, type ILabChoice } from '../tokens';
import type { MachineProfile, NeedsReport } from '../wire';
import { ActionButton } from './button';
import { useModel, useView } from './context';
import { CardFrame } from './leasecard';
import { ProblemBox } from './problem';
import { formatBytes, formatDuration } from './time';

function promises(
  profile: MachineProfile,
  trans: ReturnType<typeof useView>['trans']
): string[] {
  const words: string[] = [];
  if (profile.volume_size_bytes && profile.mount_point) {
    words.push(
      trans.__(
        '%1 for your files at %2; they stay when the machine sleeps.',
        formatBytes(profile.volume_size_bytes, trans),
        profile.mount_point
      )
    );
  }
  words.push(
    trans.__(
      'Runs for up to %1 at a time; you can keep it longer.',
      formatDuration(profile.time_limit_s, trans)
    )
  );
  return words;
}

export function OffCard(props: {
  choice: ILabChoice;
  /** On the notebook that names this lab, where it is known; its remarks are told above the card. */
  report?: NeedsReport | null;
}): React.JSX.Element {
  const { trans, actions } = useView();
  const model = useModel();
  const { choice, report } = props;
  const refused = report?.can_start === false;
  const key = labKey(choice.lab, choice.slot);
  const refusal = model.refusal(key);
  const profile = model.snapshot?.profiles.find(
    one => one.name === choice.machine_profile
  );
  const unreachable = model.snapshot?.cloud.reachable === false;
  // Without a broker nobody knows yet which profiles there are.
  const unknown = model.snapshot?.version === 0;
  return (
    <CardFrame
      title={choice.lab}
      subtitle={profile?.title ?? choice.machine_profile}
      phase="off"
      headline={trans.__('No machine yet. Start makes one for you.')}
    >
      {profile?.description ? (
        <p className="educloud-text">{profile.description}</p>
      ) : null}
      {profile ? (
        <ul className="educloud-promises">
          {promises(profile, trans).map(words => (
            <li key={words}>{words}</li>
          ))}
        </ul>
      ) : unknown || refused ? null : (
        <ProblemBox
          problem={{
            code: 'no-such-profile',
            what:
              choice.machine_profile === ''
                ? trans.__(
                    'Neither panel nor notebook names a machine profile.'
                  )
                : trans.__(
                    'This notebook asks for the machine profile "%1", which is not here.',
                    choice.machine_profile
                  ),
            kept: '',
            next_step: trans.__(
              'Check the name in the notebook, or ask whoever gave it to you.'
            )
          }}
        />
      )}
      {refusal ? <ProblemBox problem={refusal} /> : null}
      <div className="educloud-buttons">
        <ActionButton
          name="start"
          kind="accept"
          label={trans.__('Start')}
          title={trans.__('Start a machine for %1', choice.lab)}
          disabled={!profile || unreachable || refused}
          disabledReason={
            unreachable
              ? trans.__('The cloud cannot be reached just now.')
              : refused
                ? trans.__('What this notebook needs is not here.')
                : trans.__('There is no such machine profile.')
          }
          busy={model.pending(key) === 'start'}
          onPress={() => actions.claim(choice)}
        />
      </div>
    </CardFrame>
  );
}
