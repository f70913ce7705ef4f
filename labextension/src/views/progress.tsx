/**
 * The job in flight: how far it is, and each of its steps with what is waited for.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { Job, Step, StepState } from '../wire';
import { useNow, useView } from './context';
import { formatDuration, secondsBetween, secondsUntil } from './time';

const MARK: Record<StepState, string> = {
  todo: '○',
  doing: '◐',
  done: '✓',
  failed: '✕'
};

function stateWord(state: StepState, trans: TranslationBundle): string {
  switch (state) {
    case 'todo':
      return trans.__('not begun');
    case 'doing':
      return trans.__('in progress');
    case 'done':
      return trans.__('done');
    case 'failed':
      return trans.__('failed');
  }
}

export function jobTitle(kind: Job['kind'], trans: TranslationBundle): string {
  switch (kind) {
    case 'start':
      return trans.__('Starting');
    case 'stop':
      return trans.__('Putting to sleep');
    case 'delete':
      return trans.__('Deleting the machine');
    case 'snapshot':
      return trans.__('Taking a snapshot');
    case 'restore':
      return trans.__('Restoring your files');
    case 'grow':
      return trans.__('Making the volume larger');
    case 'discard':
      return trans.__('Putting the volume into the bin');
    case 'return':
      return trans.__('Taking the volume out of the bin');
    case 'empty':
      return trans.__('Emptying the bin');
  }
}

/**
 * How far a job is now, from 0 to 1. The server's share is of its last snapshot; a step in progress adds what has passed
 * since, but never reaches its end by itself.
 */
export function progressNow(job: Job, now_ms: number): number {
  const weights = job.steps.map(step => Math.max(step.estimate_s ?? 1, 0.5));
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  if (!job.in_flight || whole === 0) {
    return job.progress;
  }
  let over = 0;
  job.steps.forEach((step, index) => {
    if (step.state === 'done') {
      over += weights[index];
    } else if (step.state === 'doing') {
      const passed_s = -(secondsUntil(step.started_at, now_ms) ?? 0);
      over += Math.min(Math.max(passed_s, 0), 0.95 * weights[index]);
    }
  });
  return Math.min(Math.max(job.progress, over / whole), 0.99);
}

/** Seconds that the rest will probably take; counts down between two snapshots. Null when not known. */
export function timeLeft(job: Job, now_ms: number): number | null {
  if (!job.estimate_s) {
    return null;
  }
  const doing = job.steps.find(step => step.state === 'doing');
  if (!doing?.estimate_s) {
    return job.estimate_s;
  }
  const rest_s = job.steps
    .filter(step => step.state === 'todo')
    .reduce((sum, step) => sum + (step.estimate_s ?? 0), 0);
  const passed_s = -(secondsUntil(doing.started_at, now_ms) ?? 0);
  return rest_s + Math.max(doing.estimate_s - passed_s, 1);
}

function StepRow(props: { step: Step; now_ms: number }): React.JSX.Element {
  const { trans } = useView();
  const { step, now_ms } = props;
  let time = '';
  if (step.state === 'doing') {
    const passed_s = -(secondsUntil(step.started_at, now_ms) ?? 0);
    time = step.estimate_s
      ? trans.__(
          '%1 of about %2',
          formatDuration(passed_s, trans),
          formatDuration(step.estimate_s, trans)
        )
      : formatDuration(passed_s, trans);
  } else if (step.state === 'todo' && step.estimate_s) {
    time = trans.__('about %1', formatDuration(step.estimate_s, trans));
  } else {
    const took_s = secondsBetween(step.started_at, step.ended_at);
    time = took_s === null ? '' : formatDuration(took_s, trans);
  }
  return (
    <li
      className={`educloud-Step jp-mod-${step.state}`}
      aria-current={step.state === 'doing' ? 'step' : undefined}
    >
      <span className="educloud-stepMark" aria-hidden="true">
        {MARK[step.state]}
      </span>
      <span className="educloud-stepTitle">
        {step.title}
        <span className="educloud-srOnly">
          {` (${stateWord(step.state, trans)})`}
        </span>
      </span>
      <span className="educloud-stepTime">{time}</span>
      {step.state === 'doing' && step.waiting_for ? (
        <span className="educloud-stepWait">{step.waiting_for}</span>
      ) : null}
    </li>
  );
}

function Steps(props: { job: Job; now_ms: number }): React.JSX.Element {
  return (
    <ol className="educloud-steps">
      {props.job.steps.map(step => (
        <StepRow key={step.name} step={step} now_ms={props.now_ms} />
      ))}
    </ol>
  );
}

export function JobProgress(props: { job: Job }): React.JSX.Element | null {
  const { trans } = useView();
  const { job } = props;
  const now_ms = useNow(job.in_flight);
  const failed = job.steps.find(step => step.state === 'failed');
  if (job.steps.length === 0) {
    return null;
  }
  if (!job.in_flight) {
    const took_s = job.steps.reduce(
      (sum, step) =>
        sum + (secondsBetween(step.started_at, step.ended_at) ?? 0),
      0
    );
    return (
      <details className="educloud-details">
        <summary>
          {failed
            ? trans.__('Failed at: %1', failed.title)
            : job.kind === 'start'
              ? trans.__('Started in %1', formatDuration(took_s, trans))
              : trans.__('Last steps, %1', formatDuration(took_s, trans))}
        </summary>
        <Steps job={job} now_ms={now_ms} />
      </details>
    );
  }
  const share = progressNow(job, now_ms);
  const percent = Math.round(share * 100);
  const left_s = timeLeft(job, now_ms);
  const again_s = secondsUntil(job.next_attempt_at, now_ms);
  const try_s = secondsUntil(job.queue?.next_try_at, now_ms);
  return (
    <div className="educloud-job">
      <div
        className="educloud-bar"
        role="progressbar"
        aria-label={jobTitle(job.kind, trans)}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
        aria-valuetext={trans.__('%1 percent', percent)}
      >
        <div style={{ width: `${percent}%` }} />
      </div>
      <p className="educloud-barText">
        <span>{trans.__('%1 %', percent)}</span>
        {/* Nobody knows how long a queue takes. */}
        {!job.queue && left_s !== null && left_s > 0 ? (
          <span>
            {trans.__('about %1 left', formatDuration(left_s, trans))}
          </span>
        ) : null}
      </p>
      {job.queue ? (
        <p className="educloud-queue" role="status">
          {trans.__(
            'Place %1 of %2 in the queue. Waiting for room: %3',
            job.queue.position,
            job.queue.waiting,
            job.queue.what
          )}
        </p>
      ) : null}
      {try_s !== null && try_s > 0 ? (
        <p className="educloud-hint">
          {trans.__('Next try in %1', formatDuration(try_s, trans))}
        </p>
      ) : null}
      <Steps job={job} now_ms={now_ms} />
      {!job.queue && job.attempts > 1 && again_s !== null && again_s > 0 ? (
        <p className="educloud-hint">
          {trans.__(
            'Attempt %1; the next one in %2',
            job.attempts,
            formatDuration(again_s, trans)
          )}
        </p>
      ) : null}
    </div>
  );
}
