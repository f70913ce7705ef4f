/**
 * Durations and sizes in words.
 */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { Lease, Limit, LimitWarning } from '../wire';

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;

/** A duration to be read at a glance: "8 s", "4 min", "1 h 54 min", "2 d 3 h". Never negative. */
export function formatDuration(
  seconds: number,
  trans: TranslationBundle
): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < MINUTE_S) {
    return trans.__('%1 s', s);
  }
  if (s < 5 * MINUTE_S && s % MINUTE_S !== 0) {
    return trans.__('%1 min %2 s', Math.floor(s / MINUTE_S), s % MINUTE_S);
  }
  if (s < HOUR_S) {
    return trans.__('%1 min', Math.floor(s / MINUTE_S));
  }
  if (s < DAY_S) {
    const min = Math.floor((s % HOUR_S) / MINUTE_S);
    const h = Math.floor(s / HOUR_S);
    return min === 0 ? trans.__('%1 h', h) : trans.__('%1 h %2 min', h, min);
  }
  const h = Math.floor((s % DAY_S) / HOUR_S);
  const d = Math.floor(s / DAY_S);
  return h === 0 ? trans.__('%1 d', d) : trans.__('%1 d %2 h', d, h);
}

/** Seconds from now until a time; negative when it is over; null when there is no such time. */
export function secondsUntil(
  iso: string | null | undefined,
  now_ms: number
): number | null {
  if (!iso) {
    return null;
  }
  const at_ms = Date.parse(iso);
  return Number.isNaN(at_ms) ? null : (at_ms - now_ms) / 1000;
}

/** Seconds between two times; null when one is missing. */
export function secondsBetween(
  from: string | null | undefined,
  to: string | null | undefined
): number | null {
  if (!from || !to) {
    return null;
  }
  return (Date.parse(to) - Date.parse(from)) / 1000;
}

/** A size in the binary units that volumes are made in. */
export function formatBytes(bytes: number, trans: TranslationBundle): string {
  const gib = bytes / 2 ** 30;
  if (gib >= 1) {
    return trans.__('%1 GiB', Math.round(gib * 10) / 10);
  }
  return trans.__('%1 MiB', Math.round(bytes / 2 ** 20));
}

/** A time as people say it, in their time zone; with the day when it is not today. */
export function formatClock(iso: string, now_ms: number): string {
  const at = new Date(iso);
  const today = new Date(now_ms).toDateString() === at.toDateString();
  return at.toLocaleString(
    undefined,
    today
      ? { hour: '2-digit', minute: '2-digit' }
      : { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }
  );
}

/** The limit that comes first; null while none is on. */
export function nearestLimit(lease: Lease): Limit | null {
  if (lease.limits) {
    return lease.limits.limits?.[0] ?? null;
  }
  return lease.expires_at
    ? { kind: 'hard', ends_at: lease.expires_at, text: '' }
    : null;
}

/** What a limit does and why, in the person's own time zone. Holds as long as the warning does. */
export function warningWords(
  warning: LimitWarning,
  now_ms: number,
  trans: TranslationBundle
): string {
  const end = formatClock(warning.ends_at, now_ms);
  switch (warning.kind) {
    case 'hard':
      return trans.__('Put to sleep at %1: its time is over then.', end);
    case 'idle':
      return trans.__('Put to sleep at %1: nothing happens on it.', end);
    case 'first-connection':
      return trans.__('Put to sleep at %1: nobody has connected to it.', end);
  }
}

/** What a person can do about it. */
export function warningHelp(
  warning: LimitWarning,
  trans: TranslationBundle
): string {
  switch (warning.kind) {
    case 'hard':
      return trans.__('Keep gives it its full time again.');
    case 'idle':
      return trans.__('Go on working, or press Keep.');
    case 'first-connection':
      return trans.__('Open a terminal, or press Keep.');
  }
}
