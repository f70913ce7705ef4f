/**
 * What the doctor thinks, in short, while something hangs.
 */

import * as React from 'react';

import type { Finding, Lease } from '../wire';
import { ActionButton } from './button';
import { useView } from './context';

export function FindingBox(props: {
  lease: Lease;
  finding: Finding;
}): React.JSX.Element {
  const { trans, actions } = useView();
  const { lease, finding } = props;
  return (
    <section
      className="educloud-problem jp-mod-finding"
      role="status"
      aria-label={trans.__('What the doctor thinks')}
      data-finding={finding.code}
    >
      <p className="educloud-problemWhat">{finding.what}</p>
      {finding.component_name ? (
        <p className="educloud-dim">
          {finding.sure === 'certain'
            ? trans.__('Where: %1', finding.component_name)
            : finding.sure === 'likely'
              ? trans.__('Probably: %1', finding.component_name)
              : trans.__('Possibly: %1', finding.component_name)}
        </p>
      ) : null}
      {finding.by_itself ? (
        <p>
          <strong>{trans.__('By itself:')}</strong> {finding.by_itself}
        </p>
      ) : null}
      {finding.student_can ? (
        <p>
          <strong>{trans.__('What you can do:')}</strong> {finding.student_can}
        </p>
      ) : null}
      <div className="educloud-buttons">
        <ActionButton
          name="why"
          label={trans.__('Why?')}
          title={trans.__(
            'Show everything that is known about the machine of %1',
            lease.lab
          )}
          onPress={() => actions.why(lease)}
        />
      </div>
    </section>
  );
}
