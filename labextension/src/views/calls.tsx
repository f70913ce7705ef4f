/**
 * "What just happened" on a card: closed, it asks nothing and loads nothing.
 */

import * as React from 'react';

import { problemOf } from '../manager';
import type { Accounts, Lease, Problem } from '../wire';
import { useView } from './context';
import { ProblemBox } from './problem';

/** While something goes on, its calls are asked for at most so often. */
const PAUSE_MS = 1000;

type View = (props: { accounts: Accounts }) => React.JSX.Element;

/** Whether it is to be shown on the card of a lab; renders again when that changes. */
export function useShowsCalls(lab: string): boolean {
  const { calls } = useView();
  const [, count] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    const onChanged = () => count();
    calls?.changed.connect(onChanged);
    return () => {
      calls?.changed.disconnect(onChanged);
    };
  }, [calls]);
  return calls?.shown(lab) ?? false;
}

/** What of a lease changes when its jobs call something. */
function mark(lease: Lease): string {
  return JSON.stringify([lease.updated_at, lease.job ?? null]);
}

/** The accounts of a lease, asked for anew when it changes: one question at a time, with pauses. */
function useAccounts(
  lease: Lease,
  open: boolean
): { accounts: Accounts | null; problem: Problem | null } {
  const { model } = useView();
  const [accounts, setAccounts] = React.useState<Accounts | null>(null);
  const [problem, setProblem] = React.useState<Problem | null>(null);
  const [settled, setSettled] = React.useState('');
  const asking = React.useRef(false);
  const gone = React.useRef(false);
  const wanted = mark(lease);
  React.useEffect(() => {
    gone.current = false;
    return () => {
      gone.current = true;
    };
  }, []);
  React.useEffect(() => {
    if (!open || asking.current || wanted === settled) {
      return;
    }
    asking.current = true;
    const ask = async () => {
      try {
        const found = await model.accounts(lease.id);
        if (!gone.current) {
          setAccounts(found);
          setProblem(null);
        }
      } catch (error) {
        if (!gone.current) {
          setProblem(problemOf(error));
        }
      }
      await new Promise(done => window.setTimeout(done, PAUSE_MS));
      asking.current = false;
      if (!gone.current) {
        setSettled(wanted); // Renders again; what changed meanwhile is then asked for.
      }
    };
    void ask();
  }, [model, lease.id, open, wanted, settled]);
  return { accounts, problem };
}

const loadView = () => import('./accounts');

export function CallsBox(props: {
  lease: Lease;
  /** How its content is loaded; tests give another way. */
  load?: () => Promise<{ AccountsView: View }>;
}): React.JSX.Element {
  const { trans } = useView();
  const { lease, load = loadView } = props;
  const [open, setOpen] = React.useState(false);
  const [view, setView] = React.useState<{ View: View } | null>(null);
  const { accounts, problem } = useAccounts(lease, open);
  React.useEffect(() => {
    if (open && !view) {
      void load().then(({ AccountsView }) => setView({ View: AccountsView }));
    }
  }, [open, view, load]);
  return (
    <details
      className="educloud-details educloud-calls"
      onToggle={event => setOpen(event.currentTarget.open)}
    >
      <summary>{trans.__('What just happened')}</summary>
      {problem ? <ProblemBox problem={problem} /> : null}
      {view && accounts ? (
        <view.View accounts={accounts} />
      ) : problem ? null : (
        <p className="educloud-dim">{trans.__('Looking…')}</p>
      )}
    </details>
  );
}
