/**
 * The panel in a notebook: the card of one lab, the same component as in the sidebar.
 */

import * as React from 'react';

import type { ILabChoice } from '../tokens';
import { useModel, useView } from './context';
import { LeaseCard } from './leasecard';
import { OffCard } from './offcard';
import { ProblemBox } from './problem';
import { ServerState } from './serverstate';

export function Panel(props: { choice: ILabChoice | null }): React.JSX.Element {
  const { trans } = useView();
  const model = useModel();
  const { choice } = props;
  const lease = choice ? model.leaseOfLab(choice.lab, choice.slot) : null;
  let body: React.JSX.Element | null;
  if (lease) {
    body = <LeaseCard lease={lease} />;
  } else if (!model.snapshot) {
    body =
      model.serverState === 'connecting' ? (
        <p className="educloud-hint" role="status">
          {trans.__('Looking for your machine…')}
        </p>
      ) : null;
  } else if (choice) {
    body = <OffCard choice={choice} />;
  } else {
    body = (
      <p className="educloud-hint">
        {trans.__(
          'This notebook does not name a lab. Use CloudPanel(lab="...", machine_profile="...").'
        )}
      </p>
    );
  }
  // A card tells its own troubles; where there is none, the cloud's are told here.
  const problem = lease ? null : model.snapshot?.cloud.problem;
  return (
    <div className="educloud-panel">
      <ServerState />
      {problem ? <ProblemBox problem={problem} kind="warning" /> : null}
      {body}
    </div>
  );
}
