/**
 * What the notebook in front needs and is not here: the worst first, each with what to do.
 */

import * as React from 'react';

import type { ILabNeeds } from '../tokens';
import type { NeedsRemark, NeedsReport } from '../wire';
import { useView } from './context';
import { ProblemBox } from './problem';

/** The report on the notebook in front; renders again when it changes. */
export function useNeeds(needs: ILabNeeds | null): NeedsReport | null {
  const [, count] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    if (!needs) {
      return;
    }
    const onChanged = () => count();
    needs.changed.connect(onChanged);
    count(); // It may have changed between rendering and here.
    return () => {
      needs.changed.disconnect(onChanged);
    };
  }, [needs]);
  return needs?.report ?? null;
}

function Note(props: { remark: NeedsRemark }): React.JSX.Element {
  const { remark } = props;
  return (
    <p className="educloud-hint" role="status" data-code={remark.code}>
      {`${remark.what} ${remark.next_step}`}
    </p>
  );
}

export function NeedsNotice(props: {
  report: NeedsReport;
}): React.JSX.Element | null {
  const { trans } = useView();
  const { remarks } = props.report;
  if (remarks.length === 0) {
    return null;
  }
  return (
    <section
      className="educloud-needs"
      aria-label={trans.__('What this notebook needs')}
    >
      {remarks.map((remark, index) =>
        remark.weight === 'note' ? (
          <Note key={index} remark={remark} />
        ) : (
          <ProblemBox
            key={index}
            kind={remark.weight === 'refusal' ? 'error' : 'warning'}
            problem={{ ...remark, kept: '' }}
          />
        )
      )}
    </section>
  );
}
