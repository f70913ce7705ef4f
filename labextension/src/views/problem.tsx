/**
 * What went wrong, what was kept, what to do next: always in this order.
 */

import * as React from 'react';

import type { Problem } from '../wire';
import { useView } from './context';

export interface IProblemProps {
  problem: Problem;
  /** A warning is something that may pass by itself. */
  kind?: 'error' | 'warning';
  children?: React.ReactNode;
}

export function ProblemBox(props: IProblemProps): React.JSX.Element {
  const { trans } = useView();
  const { problem, kind = 'error' } = props;
  return (
    <div
      className={`educloud-problem jp-mod-${kind}`}
      role={kind === 'error' ? 'alert' : 'status'}
      data-code={problem.code}
    >
      <p className="educloud-problemWhat">{problem.what}</p>
      {problem.kept ? (
        <p>
          <strong>{trans.__('Kept safe:')}</strong> {problem.kept}
        </p>
      ) : null}
      {problem.next_step ? (
        <p>
          <strong>{trans.__('What to do:')}</strong> {problem.next_step}
        </p>
      ) : null}
      {props.children}
    </div>
  );
}
